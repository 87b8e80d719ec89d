"""The only contact from the trainer to whoever watches it.

After OneTrainer's `TrainCallbacks` / `TrainCommands`: the trainer calls these, and knows nothing of nodes,
sockets or terminals.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepReport:
    """One finished optimizer step."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    seconds_per_step: float
    seconds_left: float


class Reporter:
    """Does nothing; the base of all reporters, and what tests use."""

    def text(self, text: str) -> None:
        """A line for the user, shown on the node."""

    def progress(self, done: int, total: int) -> None:
        """Work before training: pictures encoded, captions encoded."""

    def step(self, report: StepReport) -> None:
        """Called after each optimizer step."""

    def check_interrupt(self) -> None:
        """Raises whatever the host raises when the user asked to stop."""


def duration(seconds: float) -> str:
    """ "1 h 05 min", "3 min 20 s", "7 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
