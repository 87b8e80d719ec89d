"""A diagnosis in words: the verdict first."""

from __future__ import annotations

from collections.abc import Sequence

from ..dataset.model import counted
from .diagnosis import Diagnosis
from .finding import Finding, Severity, Subject

WORDS = {Severity.PROBLEM: "PROBLEM", Severity.WARNING: "LOOK AT", Severity.NOTE: "NOTE"}
MOST_SIZES = 12


def verdict(diagnosis: Diagnosis) -> str:
    grave = diagnosis.grave
    if not grave:
        return "Ready to train."
    problems = sum(1 for finding in grave if finding.severity is Severity.PROBLEM)
    if problems:
        return f"Not ready: {counted(problems, 'problem')} to solve first" + _and_more(len(grave) - problems)
    return f"Look at {counted(len(grave), 'thing')} first."


def _and_more(warnings: int) -> str:
    return f", {counted(warnings, 'thing')} to look at." if warnings else "."


def text(diagnosis: Diagnosis, out: Sequence[Subject] = ()) -> str:
    """`out`: pictures that were left out of the dataset."""
    blocks = [f"{verdict(diagnosis)} {_counts(diagnosis)}", *(_told(finding) for finding in diagnosis.findings)]
    blocks.append("\n".join(_sizes(diagnosis)))
    if out:
        names = ", ".join(f"#{s.number} {s.picture.name}" for s in out)
        blocks.append(f"Left out of the dataset, files untouched: {counted(len(out), 'image')}: {names}")
    return "\n\n".join(blocks)


def _counts(diagnosis: Diagnosis) -> str:
    parts = [f"{counted(len(part.pictures), 'image')} ({part.role})" for part in diagnosis.dataset.parts()]
    return ", ".join(parts) + "."


def _told(finding: Finding) -> str:
    return f"{WORDS[finding.severity]} · {finding.kind}\n{finding.text}\n→ {finding.remedy}"


def _sizes(diagnosis: Diagnosis) -> list[str]:
    trained = [s for s in diagnosis.subjects if s.part.role == "train"]
    sizes = diagnosis.sizing.buckets(trained).most_common()
    lines = [f"SIZES at {', '.join(map(str, diagnosis.sizing.resolutions))} (repeats count)"]
    lines += [f"{width} x {height}: {count}" for (height, width), count in sizes[:MOST_SIZES]]
    if len(sizes) > MOST_SIZES:
        lines.append(f"and {len(sizes) - MOST_SIZES} more sizes")
    return lines
