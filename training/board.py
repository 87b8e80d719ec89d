"""Event files for TensorBoard in <run>/tensorboard, where the package is installed; else nothing."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

from .runs.table import Row

TAGS = {
    "loss": "loss/step",
    "smoothed": "loss/smoothed",
    "prior_loss": "loss/prior",
    "validation_held_out": "loss/held_out",
    "validation_trained": "loss/trained",
}
"""What belongs into one group; everything else goes under its own name."""


class Board:
    """The event files of one session. A row may come again: it is written once."""

    def __init__(self, folder: Path, after: int) -> None:
        """`after`: the step that this session begins with. Later events of earlier sessions are no longer shown."""
        from torch.utils.tensorboard import SummaryWriter

        known = any(folder.glob("events.*"))
        self._last = after if known else -1
        self._writer = SummaryWriter(str(folder), purge_step=after + 1 if known else None)

    def write(self, rows: Iterable[Row]) -> None:
        """Those of steps that were not written yet."""
        for row in rows:
            step = int(row["step"])
            if step <= self._last:
                continue
            for name, value in row.items():
                if name != "step" and not (name == "prior_loss" and not value):
                    self._writer.add_scalar(TAGS.get(name, name.replace("validation_", "validation/")), value, step)
            self._last = step
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def board(folder: Path, after: int) -> Board | None:
    """None where TensorBoard is not installed."""
    return Board(folder, after) if importlib.util.find_spec("tensorboard") else None
