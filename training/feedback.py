"""What a running training shows of itself beside its progress: a table, and TensorBoard's event files.

All of it is made from the run's log, so that it is whole again whenever a run goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from .board import Board, board
from .loop import StepLog
from .runs.store import RunStore
from .runs.table import rows_of, write_table

log = logging.getLogger(__name__)

LEAST_SECONDS = 5.0
"""From one update to the next."""
SHARE = 0.01
"""Of the time that updates may take."""


class Feedback:
    """Updates when it is due. What it cannot write it tells once: it never ends a training."""

    def __init__(self, store: RunStore, start: int) -> None:
        """`start`: the step that training begins after."""
        self.store, self.start = store, start
        self._board: Board | None = None
        self._told = False
        self._due = time.monotonic() + LEAST_SECONDS

    def after(self, keep: Callable[[StepLog], None]) -> Callable[[StepLog], None]:
        """What to call after each step: `keep`, and an update when it is due."""

        def step(entry: StepLog) -> None:
            keep(entry)
            self._step()

        return step

    def _step(self) -> None:
        began = time.monotonic()
        if began < self._due:
            return
        self._write()
        now = time.monotonic()
        self._due = now + max(LEAST_SECONDS, (now - began) / SHARE)

    def close(self) -> None:
        """Training has ended, in whatever way."""
        self._write()
        if self._board:
            self._board.close()

    def _write(self) -> None:
        try:
            rows = rows_of(self.store)
            write_table(self.store, rows)
            if self._board is None:
                self._board = board(self.store.folder / "tensorboard", self.start)
            if self._board:
                self._board.write(rows)
        except Exception as error:  # a full disk, a table that is open in a spreadsheet, a broken TensorBoard
            if not self._told:
                log.warning("The table and the curves of %s could not be written: %s", self.store.folder, error)
            self._told = True
