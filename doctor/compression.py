"""JPEGs with visible blocks, by the tables that they were saved with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .finding import Finding, Severity, Subject, Thresholds, about
from .look import Look


def compressed(subjects: Sequence[Subject], looks: Mapping[int, Look], limits: Thresholds) -> Iterator[Finding]:
    qualities = {s.number: looks[s.number].quality or 100 for s in subjects if s.number in looks}
    found = [s for s in subjects if qualities.get(s.number, 100) < limits.quality]
    if found:
        worst = min(qualities.values())
        yield from about(
            "JPEG blocks",
            Severity.WARNING,
            found,
            f"saved with strong compression (quality down to about {worst})",
            "Look for the originals: blocks and halos are learned as texture.",
        )
