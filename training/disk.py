"""What a run writes, and whether the disk has room for it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..errors import DanluError
from .memory import Needs, shown_bytes

_LOG_LINE = 200
"""Bytes of the log for one step."""
_SPARE = 64 << 20
"""Left to whatever else writes there."""


@dataclass(frozen=True)
class DiskNeeds:
    checkpoints: int
    """How many lie there at the most."""
    total: int
    """Bytes of them, of the state that a run goes on from, and of the log."""
    free: int
    folder: Path

    @property
    def fits(self) -> bool:
        return self.total + _SPARE <= self.free


def checkpoint_interval(save_every: int, steps: int) -> int:
    """Steps from one checkpoint to the next; below 1: ten checkpoints."""
    return max(1, steps // 10) if save_every < 1 else save_every


def disk_needs(needed: Needs, algorithm: str, steps: int, save_every: int, keep_last: int, folder: Path) -> DiskNeeds:
    """`needed`: the run's memory; `folder`: of all runs, which need not exist."""
    checkpoints = -(-steps // checkpoint_interval(save_every, steps))
    if keep_last >= 0:
        # A new one is written before an old one goes.
        checkpoints = min(checkpoints, keep_last + 2)
    # Files of these have twice the rank.
    size = needed.adapters * (2 if algorithm in ("pissa", "olora") else 1)
    state = needed.adapters + needed.optimizer + needed.average
    return DiskNeeds(checkpoints, checkpoints * size + state + steps * _LOG_LINE, free_disk(folder), folder)


def free_disk(folder: Path) -> int:
    """Free bytes where `folder` is, or will be made."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(existing).free


def check_disk(found: DiskNeeds) -> None:
    """Raises DanluError where the run would fill the disk."""
    if not found.fits:
        raise DanluError(
            f"This run writes about {shown_bytes(found.total)} ({found.checkpoints} checkpoints) to {found.folder}, "
            f"where {shown_bytes(found.free)} are free. Free some space, raise save_every, or set keep_last."
        )
