"""What a run writes, and whether the disk has room for it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..errors import DanluError
from .memory import Needs, shown_bytes

_LOG_LINE = 200
"""Bytes of the log for one step."""
SPARE = 64 << 20
"""Left to whatever else writes there."""


class DiskError(DanluError):
    """What should be kept cannot be written."""


@dataclass(frozen=True)
class DiskNeeds:
    checkpoints: int
    """How many lie there at the most."""
    total: int
    """Bytes of them, of the state that a run goes on from, and of the log."""
    free: int
    folder: Path
    there: int = 0
    """Bytes of them that the run has written already."""

    @property
    def missing(self) -> int:
        return max(0, self.total - self.there)

    @property
    def fits(self) -> bool:
        return self.missing + SPARE <= self.free

    def told(self) -> str:
        done = f", {shown_bytes(self.there)} of it already" if self.there else ""
        return (
            f"about {shown_bytes(self.total)} on disk{done}: {self.checkpoints} checkpoints, log and state; "
            f"{shown_bytes(self.free)} are free"
        )


def checkpoint_interval(save_every: int, steps: int) -> int:
    """Steps from one checkpoint to the next; below 1: ten checkpoints."""
    return max(1, steps // 10) if save_every < 1 else save_every


def disk_needs(
    needed: Needs, algorithm: str, steps: int, save_every: int, keep_last: int, folder: Path, there: int = 0
) -> DiskNeeds:
    """`needed`: the run's memory; `folder`: of all runs, which need not exist; `there`: `RunStore.size`."""
    checkpoints = -(-steps // checkpoint_interval(save_every, steps))
    if keep_last >= 0:
        # A new one is written before an old one goes.
        checkpoints = min(checkpoints, keep_last + 2)
    # Files of these have twice the rank.
    size = needed.adapters * (2 if algorithm in ("pissa", "olora") else 1)
    state = needed.adapters + needed.optimizer + needed.average
    # The last two, and the next one before the older goes.
    return DiskNeeds(checkpoints, checkpoints * size + 3 * state + steps * _LOG_LINE, free_disk(folder), folder, there)


def free_disk(folder: Path) -> int:
    """Free bytes where `folder` is, or will be made."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(existing).free


def check_disk(found: DiskNeeds) -> None:
    """Raises DanluError where the run would fill the disk."""
    if not found.fits:
        raise DiskError(
            f"This run writes about {shown_bytes(found.missing)} ({found.checkpoints} checkpoints) to {found.folder}, "
            f"where {shown_bytes(found.free)} are free. Free some space, raise save_every, or set keep_last."
        )
