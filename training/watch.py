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
        self._high = 0

    def state(self) -> dict[str, Any]:
        return {"recent": list(self._recent), "high": self._high}

    def load_state(self, state: dict[str, Any]) -> None:
        self._recent.extend(state["recent"])
        self._high = state["high"]

    @property
    def suspicious(self) -> bool:
        """The last loss was far too high: what is saved now may be no good."""
        return self._high > 0

    def loss(self, value: float, step: int) -> None:
        """Raises Diverged when it is no number, or has been far above the others for several steps."""
        check_finite("loss", value, step)
        usual = median(self._recent) if len(self._recent) >= LEAST_STEPS else math.inf
        if value <= EXPLODED * usual:
            self._high = 0
            self._recent.append(value)
            return
        self._high += 1
        if self._high >= PATIENCE:
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
