"""What a running training leaves on disk: a line a step, checkpoints, and states to go on from."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from .disk import DiskError
from .judging import Judging
from .loop import StepLog, Trainer
from .runs.store import RunStore
from .runs.table import validation_of

STATE_SECONDS = 600.0
"""A state is saved this long after the last one, whatever checkpoints are asked for."""


@dataclass
class Keeper:
    """Hangs on a trainer (`on_step`, `on_save`). Every method raises DiskError when something cannot be written."""

    store: RunStore
    trainer: Trainer
    tensors: Callable[[], dict[str, Tensor]]
    """The adapters as a file holds them."""
    facts: Callable[[int], dict[str, str]]
    """Metadata of the checkpoint at a step."""
    every: int
    keep_last: int
    steps: int
    judging: Judging | None = None
    """Measures each checkpoint; None: nothing is measured."""
    good: list[int] = field(default_factory=list)
    """Checkpoints of this session that were saved while nothing looked wrong."""
    _last: int = 0
    _best: tuple[int, ...] = ()
    _saved_at: float = field(default_factory=time.monotonic)

    def step(self, entry: StepLog) -> None:
        """After each step."""
        self._writing(entry.step, lambda: self.store.append_log(entry))
        if entry.step % self.every == 0 or entry.step == self.steps:
            self.checkpoint(entry.step)
        elif time.monotonic() - self._saved_at > STATE_SECONDS:
            self._writing(entry.step, self._state)

    def checkpoint(self, step: int) -> None:
        """The LoRA and the state of this step."""
        if step == self._last:
            return
        self._writing(step, lambda: self._checkpoint(step))
        self.trainer.reporter.checkpoint(step, validation_of(self.store, step))
        if not self.trainer.watch.suspicious:
            self.good.append(step)
            self.store.keep_last(self.keep_last, self.steps, self._best)

    def _checkpoint(self, step: int) -> None:
        with self.trainer.weights_to_keep():
            self.store.save_checkpoint(step, self.tensors(), self.facts(step))
            if self.judging:
                self._best = self.judging.checkpoint(step).ranking[:1]
        self._state()
        self._last = step

    def _state(self) -> None:
        # The log first: no state ever knows of more steps than the log.
        self.store.log.sync()
        state = self.trainer.state()
        self.store.states.save(state)
        if not self.trainer.watch.suspicious:
            self.store.states.forget_old(state["step"], self.store.pinned())
        self._saved_at = time.monotonic()

    def save_state(self, step: int) -> None:
        """Training ends here before its time: it shall be able to go on."""
        self._writing(step, self._state)

    def _writing(self, step: int, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            kept = self.store.states.steps()
            last = f"The state of step {kept[-1]:,} is whole: the same graph goes on from there." if kept else ""
            raise DiskError(
                f"Step {step:,} could not be written to {self.store.folder}: {error}. Training has stopped; free "
                f"some space, or make the folder writable again, and queue once more. {last}"
            ) from error
