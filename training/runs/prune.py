"""Making room: what a run can do without goes, a whole run is moved to the trash and never deleted."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...advisor.reading import read_evidence
from ...advisor.verdicts import judge
from ...errors import DanluError
from ..disk import DiskError
from ..reporter import Reporter
from .overview import label
from .store import SEGMENT_END, RunStore


class InUse(DanluError):
    """A training holds the run."""


class _Impatient(Reporter):
    """Does not wait for a run that is being trained."""

    def __init__(self, store: RunStore, what: str) -> None:
        self.store = store
        self.what = what

    def check_interrupt(self) -> None:
        raise InUse(f"{label(self.store)} is being trained: {self.what} it when that has ended.")


@contextmanager
def at_rest(store: RunStore, what: str) -> Iterator[None]:
    """Nobody trains the run for the time of the context; raises InUse where somebody does."""
    if not store.exists:
        raise DanluError(f"{store.folder} is gone.")
    with store.locked(_Impatient(store, what)):
        yield


def _check_unpinned(store: RunStore) -> None:
    if store.is_kept:
        raise DanluError(f"{label(store)} is pinned: nothing of it is removed. Unpin it first (Runs tab).")


def prune_states(store: RunStore) -> int:
    """Removes the states but the newest, which a run goes on from, and those that a user pinned. Bytes freed."""
    _check_unpinned(store)
    with at_rest(store, "prune"):
        kept = {step for step, why in store.pinned().items() if why != SEGMENT_END}
        kept.update(store.states.steps()[-1:])
        return _remove(store.states.path(step) for step in store.states.steps() if step not in kept)


def prune_checkpoints(store: RunStore) -> int:
    """Removes the checkpoints but the last and the pinned ones (ends of train nodes), and the best. Bytes freed."""
    _check_unpinned(store)
    with at_rest(store, "prune"):
        kept = _kept_checkpoints(store)
        return _remove(checkpoint.path for checkpoint in store.checkpoints() if checkpoint.step not in kept)


def _kept_checkpoints(store: RunStore) -> Collection[int]:
    finish = store.finished()
    last = [checkpoint.step for checkpoint in store.checkpoints()][-1:]
    return {*store.pinned(), *last, *((finish.step,) if finish else ()), *_best(store)}


def _best(store: RunStore) -> Collection[int]:
    """What the advisor ranks first, where anything was measured."""
    evidence = read_evidence(store.folder)
    return judge(evidence).ranking[:1] if evidence.measures else ()


def _remove(files: Iterator[Path]) -> int:
    freed = 0
    for file in files:
        stat = file.stat()
        file.unlink()
        # A file that another run shares stays on the disk.
        freed += stat.st_size if stat.st_nlink == 1 else 0
    return freed


def trash_of(runs: Path) -> Path:
    return runs.parent / "trash"


def to_trash(store: RunStore) -> Path:
    """Moves a run out of the way; where it is then. `from_trash` brings it back."""
    _check_unpinned(store)
    with at_rest(store, "remove"):
        pass  # Windows moves no folder that holds an open file, so the lock cannot be kept.
    trash = trash_of(store.folder.parent)
    try:
        trash.mkdir(parents=True, exist_ok=True)
        goal = free_name(trash, f"{store.id}-{time.strftime('%Y%m%d-%H%M%S')}")
        shutil.move(store.folder, goal)
    except OSError as error:
        raise DiskError(f"{label(store)} could not be moved to {trash}: {error}.") from error
    return goal


def from_trash(gone: Path, runs: Path) -> RunStore:
    """Brings a run back that `to_trash` moved to `gone`. Raises DanluError where it has been trained anew since."""
    store = RunStore(runs / gone.name.partition("-")[0])
    if store.exists:
        raise DanluError(f"{label(store)} is there again: move that one to the trash first.")
    try:
        runs.mkdir(parents=True, exist_ok=True)
        if store.folder.exists():
            # What a training left that ended before its run was there.
            shutil.move(store.folder, free_name(gone.parent, f"{store.id}-leftover"))
        shutil.move(gone, store.folder)
    except OSError as error:
        raise DiskError(f"{gone} could not be moved back to {runs}: {error}.") from error
    return store


def free_name(folder: Path, name: str, ending: str = "") -> Path:
    """A path in `folder` where nothing lies yet."""
    names = (name, *(f"{name}-{number}" for number in range(2, 10_000)))
    return next(path for free in names if not (path := folder / f"{free}{ending}").exists())
