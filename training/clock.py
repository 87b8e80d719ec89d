"""How fast a run is, and how long it still takes."""

from __future__ import annotations

import time

from .reporter import StepReport


class Clock:
    """Speed as the user feels it: an average that follows the last steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._last = time.perf_counter()
        self._mean: float | None = None

    def report(self, step: int, loss: float, learning_rate: float) -> StepReport:
        now = time.perf_counter()
        took, self._last = now - self._last, now
        self._mean = took if self._mean is None else 0.9 * self._mean + 0.1 * took
        return StepReport(step, self.steps, loss, learning_rate, self._mean, self._mean * (self.steps - step))
