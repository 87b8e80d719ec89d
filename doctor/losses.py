"""Pictures that a run found harder or easier than the others, by the losses in its log.

A loss depends first on the noise level that was drawn, so each is compared with those at levels nearby: what is left,
log2(loss / median of the neighbours), is averaged by picture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dataset.model import counted
from ..errors import DanluError
from .finding import Finding, Severity, Subject, about

FEWEST_DRAWS = 3
FEWEST_PICTURES = 5
NEIGHBOURS = 31
MUCH = 0.6
"""Half as much again as the others."""
FAR = 4.0
"""Robust standard deviations."""


@dataclass(frozen=True)
class PictureLoss:
    key: str
    excess: float
    """Mean log2 of the loss over that of other pictures at like noise levels."""
    draws: int
    outlier: bool


def log_of(run: Any) -> tuple[dict[str, Any], ...]:
    """The lines of a run's log up to the step of its handle. Raises DanluError where `run` is none, or is gone."""
    from ..training.runs.store import RunHandle, RunStore

    if not isinstance(run, RunHandle):
        raise DanluError("The input 'run' is no run of Danlu. Wire run of Train LoRA (Danlu) or Load Run (Danlu).")
    if not RunStore(run.folder).exists:
        raise DanluError(f"The run of '{run.name}' is gone from {run.folder}. Take run off, or train it again.")
    return tuple(RunStore(run.folder).log.steps(run.step))


def picture_losses(lines: Iterable[Mapping[str, Any]]) -> list[PictureLoss]:
    """The highest first; empty where the log holds no losses by picture, or too few.

    `lines`: of a run's log, whose `rows` are (picture, sigma, loss).
    """
    rows = [row for line in lines for row in line.get("rows") or ()]
    rows = [(str(key), float(sigma), float(loss)) for key, sigma, loss in rows if loss > 0]
    if not rows:
        return []
    excess = _excess(np.array([sigma for _, sigma, _ in rows]), np.log2([loss for _, _, loss in rows]))
    grouped: dict[str, list[float]] = defaultdict(list)
    for (key, _, _), value in zip(rows, excess.tolist(), strict=True):
        grouped[key].append(value)
    means = {key: sum(values) / len(values) for key, values in grouped.items() if len(values) >= FEWEST_DRAWS}
    if len(means) < FEWEST_PICTURES:
        return []
    middle = float(np.median(list(means.values())))
    spread = 1.4826 * float(np.median([abs(value - middle) for value in means.values()]))
    noise = float(np.std(excess))
    found = []
    for key, mean in means.items():
        # With few draws a mean lies far off by chance.
        chance = noise / len(grouped[key]) ** 0.5
        far = abs(mean - middle) > max(MUCH, FAR * spread, 2.5 * chance)
        found.append(PictureLoss(key, mean - middle, len(grouped[key]), far))
    return sorted(found, key=lambda loss: -loss.excess)


def _excess(sigmas: NDArray[np.float64], losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each log loss over the median of its neighbours by noise level."""
    order = np.argsort(sigmas, kind="stable")
    width = min(len(order), max(NEIGHBOURS, len(order) // 40)) | 1
    padded = np.pad(losses[order], width // 2, mode="edge" if len(order) < width else "reflect")
    expected = np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)
    excess = np.empty_like(losses)
    excess[order] = losses[order] - expected[: len(order)]
    return excess


def outliers(losses: Sequence[PictureLoss], by_key: Mapping[str, Sequence[Subject]]) -> Iterator[Finding]:
    known = [(subject, loss) for loss in losses for subject in by_key.get(loss.key, ())]
    high = [subject for subject, loss in known if loss.outlier and loss.excess > 0]
    low = [subject for subject, loss in reversed(known) if loss.outlier and loss.excess < 0]
    yield from about(
        "high loss",
        Severity.WARNING,
        high,
        "that the run found much harder than the others",
        "Look for a wrong caption, another subject, or a fault in the picture.",
    )
    yield from about(
        "low loss",
        Severity.NOTE,
        low,
        "that the run found much easier than the others",
        "Very plain pictures, or ones that are there more than once: they are learned by heart first.",
    )
    if known:
        yield Finding("losses", Severity.NOTE, (), _table(known), "Nothing to do, where none of them is flagged.")


def _table(known: Sequence[tuple[Subject, PictureLoss]]) -> str:
    def named(pairs: Iterable[tuple[Subject, PictureLoss]]) -> str:
        return ", ".join(f"#{s.number} {s.picture.name} (x{2**loss.excess:.2f})" for s, loss in pairs)

    few = known[: min(3, len(known) // 2)]
    draws = sum({loss.key: loss.draws for _, loss in known}.values())
    told = f"Losses of {counted(len(known), 'image')} over {draws:,} draws, noise levels set apart"
    return f"{told}. Highest: {named(few)}. Lowest: {named(list(reversed(known))[: len(few)])}."
