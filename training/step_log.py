"""What a step leaves behind: its losses, of the whole and of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from .data import Entry

ROW_KEY = 12
"""Letters of a picture's key in the log."""


@dataclass(frozen=True)
class StepLog:
    """What a finished step leaves behind."""

    step: int
    loss: float
    learning_rate: float
    grad_norm: float
    prior_loss: float = 0.0
    """Mean over the prior rows, before its weight: how far the model has moved where it should not."""
    rows: tuple[tuple[str, float, float], ...] = ()
    """Of each trained row: the beginning of its picture's key, sigma, loss."""


@dataclass
class Losses:
    """Means over the rows of a step."""

    rows: float = 0.0
    prior: float = 0.0
    drawn: list[tuple[str, float, float]] = field(default_factory=list)
    """See `StepLog.rows`."""

    def note(self, entries: Sequence[Entry], sigma: Tensor, losses: Tensor) -> None:
        """(B,) each, in the order of `entries`; rounded, since they are only looked at."""
        for entry, *values in zip(entries, sigma.tolist(), losses.detach().tolist(), strict=True):
            level, loss = (float(f"{value:.5g}") for value in values)
            self.drawn.append((entry.image_key[:ROW_KEY], level, loss))
