"""Notices a run that falls apart, before it has spoiled the LoRA for good."""

from __future__ import annotations

import math
from collections import deque
from statistics import median
from typing import Any

from ..errors import DanluError

WINDOW = 50
LEAST_STEPS = 10
"""Losses of single steps differ widely: no judgement before this many."""
EXPLODED = 10.0
"""Times the running median."""
PATIENCE = 5
"""So many steps in a row."""


class Diverged(DanluError):
    """Training has fallen apart; says what to change."""


class Watch:
    """Follows the losses of a run."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=WINDOW)
        self._high: list[float] = []
        """The last losses, each far above the ones before."""

    def state(self) -> dict[str, Any]:
        return {"recent": list(self._recent), "high": list(self._high)}

    def load_state(self, state: dict[str, Any]) -> None:
        self._recent.extend(state["recent"])
        # Runs of before the losses were kept have their number.
        high = state["high"]
        self._high = [math.inf] * high if isinstance(high, int) else list(high)

    @property
    def suspicious(self) -> bool:
        """The last loss was far too high: what is saved now may be no good."""
        return bool(self._high)

    def loss(self, value: float, step: int) -> None:
        """Raises Diverged when it is no number, or has been far above the others for several steps.

        Far above means also above every one of the last: some weightings and noise levels give single steps a
        hundred times the median's loss, again and again, and that is no divergence.
        """
        check_finite("loss", value, step)
        usual = median(self._recent) if len(self._recent) >= LEAST_STEPS else math.inf
        if value <= max(EXPLODED * usual, *self._recent, 0.0):
            # It came back: the peak before was one of many.
            self._recent.extend(peak for peak in (*self._high, value) if math.isfinite(peak))
            self._high.clear()
            return
        self._high.append(value)
        if len(self._high) >= PATIENCE:
            raise Diverged(
                f"The loss has been above {EXPLODED:g} times its usual value ({usual:.3g}) for {PATIENCE} steps, at "
                f"step {step} {value:.3g}: training has diverged. Lower the learning rate to a third, "
                "or raise warmup_steps."
            )


def check_finite(what: str, value: float, step: int) -> None:
    if not math.isfinite(value):
        raise Diverged(
            f"The {what} became {value} at step {step}: training has diverged. "
            "Lower the learning rate, or set precision to fp32."
        )
