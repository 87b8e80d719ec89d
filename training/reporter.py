"""The only contact from the trainer to whoever watches it.

After OneTrainer's `TrainCallbacks` / `TrainCommands`: the trainer calls these, and knows nothing of nodes,
sockets or terminals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from .curves import Points


class Command(Enum):
    """What a user may ask of a running training, between two steps."""

    FINISH = "finish"
    """End here and go on with the graph, as if this had been the last step."""
    PAUSE = "pause"
    """Keep everything, make way for other work, and go on later."""
    SAVE = "save"
    """A checkpoint now."""


class Paused(Exception):
    """Training stopped to make way; everything is kept."""


@dataclass(frozen=True)
class RunReport:
    """What is trained."""

    run: str
    """Its id."""
    name: str
    steps: int
    """Up to which it is trained, by this call or by later ones."""
    known: bool
    """Whether some of it is on the disk."""


@dataclass(frozen=True)
class StepReport:
    """One finished optimizer step."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    seconds_per_step: float
    seconds_left: float
    smoothed: float
    """Moving average of the losses: `curves.Smoother`."""


class Reporter:
    """Does nothing; the base of all reporters, and what tests use."""

    def text(self, text: str) -> None:
        """A line for the user, shown on the node."""

    def progress(self, done: int, total: int) -> None:
        """Work before training: pictures encoded, captions encoded."""

    def began(self, run: RunReport) -> None:
        """It is about to be trained, or to be found done."""

    def step(self, report: StepReport) -> None:
        """Called after each optimizer step."""

    def checkpoint(self, step: int, validation: Mapping[str, Points]) -> None:
        """One was saved. `validation`: all that was measured until now, as `curves.Curves` has it."""

    def ended(self) -> None:
        """What `began` has, in whatever way."""

    def command(self) -> Command | None:
        """What the user asked for since the last call."""
        return None

    def check_interrupt(self) -> None:
        """Raises whatever the host raises when the user asked to stop."""


def duration(seconds: float) -> str:
    """ "1 h 05 min", "3 min 20 s", "7 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
