"""How fast a run is, how long it still takes, and where its loss is."""

from __future__ import annotations

import time
from collections.abc import Iterable

from .curves import Smoother
from .reporter import StepReport


class Clock:
    """Speed as the user feels it: an average that follows the last steps."""

    def __init__(self, steps: int, past: Iterable[float] = ()) -> None:
        """`past`: losses of the steps before the first one that is timed."""
        self.steps = steps
        self._smoother = Smoother(past)
        self._last = time.perf_counter()
        self._mean = 0.0
        self._timed = 0

    def report(self, step: int, loss: float, learning_rate: float) -> StepReport:
        now = time.perf_counter()
        took, self._last = now - self._last, now
        self._timed += 1
        # The first step warms up kernels and memory: the second one takes its place.
        self._mean = took if self._timed <= 2 else 0.9 * self._mean + 0.1 * took
        left = self._mean * (self.steps - step)
        return StepReport(step, self.steps, loss, learning_rate, self._mean, left, self._smoother.add(loss))
