"""A run as a line of a list: what is known of it without reading what is long.

Hundreds of runs are listed again and again while one of them changes. What a line says of a run's files is kept until
one of the folders or the log changes; a log is never read whole.
"""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import IO, Any

from ..advisor.verdicts import GOOD, NOT_JUDGED
from ..training.runs.session import ENDED, FAILED, LONGEST, RUNNING, STOPPED, Session, is_imported, read_session
from ..training.runs.sizes import Inode, files_below, inode
from ..training.runs.store import RunStore

FINISHED = "finished"
POINTS = 32
"""Of a curve that is a finger's breadth wide."""
SHORT, PIECE, TAIL = 16 * 1024, 1024, 8 * 1024
"""Bytes: of a log that is read whole; of another one, that a point is the mean of, and that its last line lies in."""
HIGHEST = 1e300
"""Higher losses of a run from elsewhere have no mean."""
JUST_NOW = 2_000_000_000
"""Nanoseconds: a second change within the clock's tick of a file system would not show."""
WATCHED = (".", "checkpoints", "states", "pins", "log.jsonl")
"""Of a run: every change in it changes the time of one of these."""

Stamp = tuple[tuple[int, int], ...]
Line = tuple[int, float]
"""(step, loss)"""


@dataclass(frozen=True)
class Files:
    """What a run's files say, at the time of a stamp."""

    row: dict[str, Any]
    session: Session | None
    reached: int
    """The last step that it has a checkpoint of or ended at."""
    ended: int | None
    """The step that it was ended at before its time."""
    shared: dict[Inode, int]
    """Bytes of files that other runs have too."""


_known: dict[Path, tuple[Stamp, Files]] = {}


def row_of(store: RunStore) -> tuple[dict[str, Any], dict[Inode, int]]:
    """(the line, the sizes of what other runs share with it). Raises OSError for a run that has just gone."""
    files = _files(store)
    state = state_of(store, files)
    return {**files.row, "state": state, "why": _why(files, state)}, files.shared


def forget(stores: list[RunStore]) -> None:
    """Keeps what is known of these only."""
    there = {store.folder for store in stores}
    for folder in list(_known):
        if folder not in there:
            _known.pop(folder, None)


def is_locked(store: RunStore) -> bool:
    """Whether a training holds the run; never waits for it."""
    from filelock import FileLock, Timeout

    if not (store.folder / "lock").exists():
        return False
    lock = FileLock(store.folder / "lock")
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def state_of(store: RunStore, files: Files) -> str:
    """`RUNNING`, `FINISHED`, `STOPPED` or `FAILED`."""
    session, step = files.session, files.row["step"]
    if (session is None or session.state == RUNNING) and is_locked(store):
        return RUNNING
    if session is not None and session.state == FAILED:
        return FAILED
    over = files.ended is not None and files.ended >= step
    if session is None:
        return FINISHED if over or files.reached >= step > 0 else STOPPED
    done = session.state == ENDED and files.reached >= session.steps
    return FINISHED if over or done else STOPPED


def _why(files: Files, state: str) -> str:
    return files.session.why if files.session and state == FAILED else ""


def _files(store: RunStore) -> Files:
    stamp = tuple(_stamp(store.folder / name) for name in WATCHED)
    known = _known.get(store.folder)
    if known and known[0] == stamp:
        return known[1]
    # The stamp is from before: what changes meanwhile is seen the next time.
    settled = time.time_ns() - max(modified for modified, _ in stamp) > JUST_NOW
    found = _read(store)
    if settled:
        _known[store.folder] = stamp, found
    return found


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    # A folder's size says nothing on some systems, and a folder's time nothing of its files' contents.
    return stat.st_mtime_ns, stat.st_size


def _read(store: RunStore) -> Files:
    session = read_session(store.folder)
    name, used = store.name()
    finish = store.finished()
    steps = [checkpoint.step for checkpoint in store.checkpoints()]
    curve, last = _curve(store.log.path)
    size, shared = folder_size(store.folder)
    row = {
        "id": store.id,
        "name": name[:LONGEST],
        "used": max(used, _written(store.log.path)),
        "step": last or max(steps, default=0),
        "steps": session.steps if session else None,
        "base": session.base if session else "",
        "dataset": session.dataset if session else "",
        "pictures": session.pictures if session else _pictures(store),
        "best": _best(store, steps),
        "checkpoints": len(steps),
        "size": size,
        "pinned": store.is_kept,
        "imported": is_imported(store.folder),
        "graph": any((store.folder / f"{kind}.json").exists() for kind in ("workflow", "prompt")),
        "resumable": bool(store.states.steps()),
        "curve": curve,
    }
    return Files(row, session, max(steps, default=0), finish.step if finish else None, shared)


def _written(log: Path) -> float:
    """When the last step was noted, in seconds since the epoch."""
    return _stamp(log)[0] / 1e9


def _pictures(store: RunStore) -> int:
    try:
        return sum(picture.get("role", "train") == "train" for picture in store.dataset().values())
    except (OSError, ValueError, AttributeError):
        return 0


def _best(store: RunStore, steps: list[int]) -> int | None:
    """What the advisor recommended when it last measured, where that is still there."""
    try:
        advice = json.loads((store.folder / "advice.json").read_text(encoding="utf-8"))
        best = next((step for step in advice["recommended"] if step in steps), None)
        state = advice["verdicts"].get(str(best), {}).get("state")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return best if state in (GOOD, NOT_JUDGED) else None


def folder_size(folder: Path) -> tuple[int, dict[Inode, int]]:
    """(bytes of all files below, of these those that lie elsewhere too)"""
    whole, shared = 0, dict[Inode, int]()
    for _, stat in files_below(folder):
        whole += stat.st_size
        if stat.st_nlink > 1:
            shared[inode(stat)] = stat.st_size
    return whole, shared


def _curve(log: Path) -> tuple[list[float], int]:
    """(means of the losses at `POINTS` places of a log or fewer, its last step)"""
    try:
        with log.open("rb") as file:
            groups, last = _groups(file, file.seek(0, os.SEEK_END))
    except OSError:
        return [], 0
    means = [fmean(loss for _, loss in lines) for lines in groups if lines]
    return [float(f"{mean:.4g}") for mean in means], last


def _groups(file: IO[bytes], size: int) -> tuple[list[list[Line]], int]:
    """(lines of a log that lie together, first to last; the last step)"""
    if size <= SHORT:
        lines = _lines_at(file, 0, size)
        part = max(1, len(lines) / POINTS)
        groups = [lines[round(i * part) : round((i + 1) * part)] for i in range(math.ceil(len(lines) / part))]
        return groups, lines[-1][0] if lines else 0
    file.seek(0)
    piece = min(SHORT // 2, max(PIECE, 3 * len(file.readline(SHORT))))
    places = [round(i * (size - piece) / (POINTS - 1)) for i in range(POINTS)]
    last = _lines_at(file, max(0, size - TAIL), TAIL)
    return [_lines_at(file, place, piece) for place in places], last[-1][0] if last else 0


def _lines_at(file: IO[bytes], place: int, length: int) -> list[Line]:
    """Those that lie whole in a piece of a log."""
    file.seek(place)
    lines = file.read(length).split(b"\n")
    found = []
    for line in lines[0 if place == 0 else 1 :]:
        try:
            values = json.loads(line)
            step, loss = int(values["step"]), float(values["loss"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
        if abs(loss) <= HIGHEST:
            found.append((step, loss))
    return found
