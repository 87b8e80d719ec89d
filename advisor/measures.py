"""What a checkpoint was measured to be: what `training.validation` writes, and what verdicts are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean
from typing import Any

UPPER = 0.8
"""Quantile of the noise levels from which on they count for verdicts."""


@dataclass(frozen=True)
class Measure:
    """One checkpoint; step 0 is the base without the LoRA. Always the same pictures and the same noise."""

    step: int
    held_out: tuple[float, ...] = ()
    """Loss on pictures that are never trained on, by noise level from low to high; empty: there are none."""
    trained: tuple[float, ...] = ()
    """The same on pictures that are trained on."""
    effect: float | None = None
    """How far the LoRA moves the model's answers to captions with the trigger, over the base's own error."""
    leak: float | None = None
    """How far it moves those to captions without the trigger, or to regularisation pictures, over `effect`'s."""
    response: float | None = None
    """How much the answer changes with the rest of the caption, over how much the base's does."""
    nearest: float | None = None
    """Distance from what is drawn for a held-out caption to the nearest trained picture, over that to the picture
    itself: below 1 it looks more like a trained picture than like what was asked for."""
    images: tuple[int, int] = (0, 0)
    """How many were held out and measured, and how many trained ones."""
    levels: tuple[float, ...] = ()
    """Where the losses were measured: quantiles of the noise levels that the run trains at."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Measure:
        """What a newer version has added is passed over."""
        known = {f.name for f in fields(cls)}
        found: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items() if n in known}
        return cls(**found)


@dataclass(frozen=True)
class Point:
    """A checkpoint's losses over the base's: 1 where nothing was gained, below 1 where something was.

    At the upper noise levels. There the caption decides what is drawn. Lower down the noisy picture gives that away:
    what is left is the detail of these very pictures, where the loss on held-out ones hardly falls, and rises, the
    sooner the lower, while pictures of prompts are still getting better.
    """

    measure: Measure
    held_out: float | None
    trained: float | None

    @property
    def step(self) -> int:
        return self.measure.step


@dataclass(frozen=True)
class Evidence:
    """All that is known of a run up to some step."""

    checkpoints: tuple[int, ...]
    """Steps whose LoRA lies on the disk."""
    measures: tuple[Measure, ...] = ()
    losses: tuple[float, ...] = ()
    """Of each step, as logged."""
    settings: Mapping[str, Any] | None = None
    """learning_rate, rank, images (that are trained on), prior_preservation, batch_size; what is not known is left
    out."""

    def points(self) -> list[Point]:
        """The measured checkpoints, first to last, where the base was measured too."""
        base = next((measure for measure in self.measures if measure.step == 0), None)
        later = sorted((measure for measure in self.measures if measure.step), key=lambda measure: measure.step)
        if base is None:
            return []
        return [
            Point(m, _over(m.held_out, base.held_out, m.levels), _over(m.trained, base.trained, m.levels))
            for m in later
            if m.levels == base.levels
        ]


def _over(losses: Sequence[float], base: Sequence[float], levels: Sequence[float]) -> float | None:
    """Mean over the upper levels of the loss over the base's: each counts alike, whatever its size."""
    if not losses or len(losses) != len(base) or not all(base):
        return None
    shares = [loss / before for loss, before in zip(losses, base, strict=True)]
    upper = [share for share, level in zip(shares, levels, strict=False) if level >= UPPER]
    return fmean(upper or shares)
