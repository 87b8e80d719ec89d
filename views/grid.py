"""A grid as pages see it: which cells there are, what is done of them, and their pictures, small and large."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import DanluError
from ..sweep.grids import GridNote, GridStore, Head, Marks, PlannedCell
from ..sweep.store import CellStore
from .errors import NotFound
from .kept import Kept, fitting

AXES = ("checkpoint", "strength", "prompt", "seed", "picture")
SIDES = (64, 128, 256, 512, 1024)
"""Pixels of the longer side that small pictures come in."""
MOST_LISTED = 100
_kept = Kept()


@dataclass(frozen=True)
class Live:
    """What the server knows of a grid since it started."""

    prompt: str
    """The id of the queue item that makes it."""
    now: int | None = None
    """The cell that is made, or was when that ended."""
    running: bool = False
    why: str = ""
    """What went wrong in that cell."""


@dataclass(frozen=True)
class Grids:
    """All grids of a server."""

    store: GridStore
    cells: CellStore

    def note(self, id: str) -> GridNote:
        note = self.store.read(id)
        if note is None:
            raise NotFound("There is no such grid (any more).")
        return note

    def cell(self, id: str, number: int) -> tuple[GridNote, PlannedCell]:
        note = self.note(id)
        if not 0 <= number < len(note.cells):
            raise NotFound(f"The grid has no cell {number}.")
        return note, note.cells[number]

    def listed(self, workflow: str = "", node: str = "") -> list[dict[str, Any]]:
        """The newest first; `workflow`, `node`: only those of this node."""
        found = [h for h in self.store.heads() if not node or (h.workflow, h.node) == (workflow, node)]
        return [asdict(head) for head in found[:MOST_LISTED]]

    def state(self, id: str, live: Live | None = None) -> dict[str, Any]:
        """All that a page needs to show a grid."""
        note, marks = self.note(id), self.store.marks(id)
        head = Head(id, note.name, note.workflow, note.node, note.begun, note.summary, len(note.cells))
        cells = [self.cell_state(note, number, marks, live) for number in range(len(note.cells))]
        return {
            **asdict(head),
            "axes": [{"name": name, "values": values} for name, values in _axes(note.cells).items()],
            "cells": [cell for cell in cells if cell],
            "prompt": live.prompt if live else "",
            "running": bool(live and live.running),
        }

    def cell_state(self, note: GridNote, number: int, marks: Marks, live: Live | None = None) -> dict[str, Any] | None:
        """Of one cell, as in `state`; None: there is nothing to make of it."""
        cell = note.cells[number]
        files, caption = self._files(note, cell)
        if not files and not cell.signature:
            return None
        state = {
            "n": number,
            "label": cell.label,
            "at": asdict(cell.place),
            "pictures": [picture for file in files if (picture := self._picture(file))],
            "caption": caption,
            "kind": _kind(cell),
            "pinned": number in marks.pinned,
            "kept": marks.kept.get(str(number), ""),
        }
        return {**state, **_progress(bool(state["pictures"]), live if live and live.now == number else None)}

    def _files(self, note: GridNote, cell: PlannedCell) -> tuple[Sequence[Path], str]:
        """(pictures that are there, the user's own text below them)"""
        if cell.file:
            return self._inside((self.cells.output / cell.file,)), ""
        done = self.cells.find(note.shared, cell.signature) if cell.signature else None
        return (self._inside(done.files), done.label) if done else ((), "")

    def _inside(self, files: Sequence[Path]) -> Sequence[Path]:
        """Those below output/danlu, wherever links lead."""
        folder = (self.cells.output / "danlu").resolve()
        return [file for file in files if file.is_file() and file.resolve().is_relative_to(folder)]

    def _picture(self, file: Path) -> dict[str, Any] | None:
        """As the host's /view knows it."""
        stat = file.stat()
        try:
            size = _size(file, stat.st_mtime_ns, stat.st_size)
        except DanluError:
            return None
        folder = file.parent.relative_to(self.cells.output).as_posix()
        version = f"{stat.st_mtime_ns:x}"
        return {"filename": file.name, "subfolder": folder, "type": "output", "size": size, "version": version}

    def file(self, id: str, number: int, picture: int = 0) -> Path:
        """A cell's picture. Raises NotFound where it is not there (yet)."""
        note, cell = self.cell(id, number)
        files, _ = self._files(note, cell)
        if not 0 <= picture < len(files):
            raise NotFound(f"There is no picture of the cell {cell.label} (any more).")
        return files[picture]

    def small(self, id: str, number: int, picture: int, side: int) -> bytes:
        """A JPEG whose longer side has `side` pixels, rounded up to one of `SIDES`. Raises NotFound, DanluError."""
        file = self.file(id, number, picture)
        stat, side = file.stat(), fitting(side, SIDES)
        return _kept.made((file, stat.st_mtime_ns, stat.st_size, side), lambda: _small(file, side))

    def pin(self, id: str, number: int, pinned: bool) -> Marks:
        self.cell(id, number)
        return self.store.pin(id, number, pinned)


def _kind(cell: PlannedCell) -> str:
    """What it shows: a picture that was "given", the LoRA of a "run" or of a "file", or "", the base without one."""
    if cell.file:
        return "given"
    return "run" if cell.origin.run else "file" if cell.origin.file else ""


def _progress(is_done: bool, live: Live | None) -> dict[str, Any]:
    """`live`: where it is this cell that is made, or went wrong."""
    if is_done or live is None:
        return {"state": "done" if is_done else "missing"}
    if live.why:
        return {"state": "failed", "why": live.why}
    return {"state": "now" if live.running else "missing"}


def _axes(cells: Sequence[PlannedCell]) -> Mapping[str, list[Any]]:
    """Axis -> its values: those that can be in the order of their size, others as they come."""
    found: dict[str, list[Any]] = {}
    for name in AXES:
        values = dict.fromkeys(getattr(c.place, name) for c in cells if c.signature or c.file)
        values.pop(None, None)
        in_order = name in ("strength", "picture")
        found[name] = sorted(values) if in_order else list(values)
    return found


@lru_cache(maxsize=20_000)
def _size(file: Path, _changed: int, _bytes: int) -> tuple[int, int]:
    """(width, height), without reading pixels."""
    with _opened(file) as picture:
        return picture.size


def _small(file: Path, side: int) -> bytes:
    buffer = io.BytesIO()
    with _opened(file) as picture:
        try:
            picture.thumbnail((side, side))
            picture.convert("RGB").save(buffer, "JPEG", quality=85)
        except (OSError, SyntaxError, ValueError) as error:
            raise DanluError(f"{file.name} cannot be read: {error}") from error
    return buffer.getvalue()


def _opened(file: Path) -> Any:
    from PIL import Image

    try:
        return Image.open(file, formats=("PNG",))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DanluError(f"{file.name} cannot be read: {error}") from error
