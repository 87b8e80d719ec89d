"""Grids on disk: what stands in which cell, for pages that show it while it is made, and long after.

<folder>/<id>.json          axes and cells, written when the grid is begun; what is done, `CellStore` knows
<folder>/<id>.marks.json    what the user has pinned and kept of it
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from .cells import Origin, Place

MOST_GRIDS = 300
"""That are remembered; the pictures of older ones stay, and pinned ones are never forgotten."""
_ID = re.compile(r"[0-9a-f]{24}")
_marking = threading.Lock()


@dataclass(frozen=True)
class PlannedCell:
    label: str
    place: Place
    origin: Origin = Origin()
    signature: str = ""
    """By which `CellStore` finds it; empty: there is nothing to make."""
    file: str = ""
    """Below the output folder, of a picture that no cell makes: before, truth."""


@dataclass(frozen=True)
class GridNote:
    """A grid as it was planned."""

    name: str
    workflow: str
    """The id that the front end gave it; empty: queued without it."""
    node: str
    """The grid's, in that workflow: "12:5" is node 5 in the subgraph of node 12."""
    begun: float
    """Seconds since the epoch."""
    summary: str
    shared: str
    """What all of its cells have in common, for `CellStore`."""
    cells: tuple[PlannedCell, ...]


@dataclass(frozen=True)
class Head:
    """Of a grid, for lists of them."""

    id: str
    name: str
    workflow: str
    node: str
    begun: float
    summary: str
    count: int


@dataclass(frozen=True)
class Marks:
    pinned: tuple[int, ...] = ()
    kept: dict[str, str] = field(default_factory=dict)
    """Number of a cell -> the file in models/loras that its LoRA was saved to."""


def grid_id(workflow: str, node: str, name: str, shared: str, signatures: Sequence[str]) -> str:
    """The same graph queued again is the same grid: it goes on with what is done."""
    text = json.dumps([workflow, node, name, shared, list(signatures)])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class GridStore:
    folder: Path

    def write(self, id: str, note: GridNote) -> None:
        from ..training.writing import write_json

        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / f"{id}.json", asdict(note))
        self._forget_oldest()

    def read(self, id: str) -> GridNote | None:
        """None: there is none of that id, or its file is damaged."""
        if not _ID.fullmatch(id):
            return None
        try:
            found = json.loads((self.folder / f"{id}.json").read_text(encoding="utf-8"))
            cells = tuple(_cell(cell) for cell in found.pop("cells"))
            return GridNote(**found, cells=cells)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def heads(self) -> list[Head]:
        """Of all grids, the one begun last first."""
        found = [head for file in self._files() if (head := _head(file, _changed(file)))]
        return sorted(found, key=lambda head: head.begun, reverse=True)

    def marks(self, id: str) -> Marks:
        try:
            found = json.loads(self._marks(id).read_text(encoding="utf-8"))
            kept = {str(int(number)): str(file) for number, file in found["kept"].items()}
            return Marks(tuple(int(number) for number in found["pinned"]), kept)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return Marks()

    def pin(self, id: str, number: int, pinned: bool) -> Marks:
        with _marking:
            marks = self.marks(id)
            numbers = {*marks.pinned, number} if pinned else {*marks.pinned} - {number}
            return self._mark(id, Marks(tuple(sorted(numbers)), marks.kept))

    def keep(self, id: str, number: int, file: str) -> Marks:
        """Notes where the LoRA of a cell was saved to."""
        with _marking:
            marks = self.marks(id)
            return self._mark(id, Marks(marks.pinned, {**marks.kept, str(number): file}))

    def _mark(self, id: str, marks: Marks) -> Marks:
        from ..training.writing import write_json

        write_json(self._marks(id), asdict(marks))
        return marks

    def _marks(self, id: str) -> Path:
        return self.folder / f"{id}.marks.json"

    def _files(self) -> list[Path]:
        return [file for file in self.folder.glob("*.json") if _ID.fullmatch(file.stem)]

    def _forget_oldest(self) -> None:
        files = sorted(self._files(), key=_changed, reverse=True)
        for file in files[MOST_GRIDS:]:
            if not self.marks(file.stem).pinned:
                file.unlink(missing_ok=True)
                self._marks(file.stem).unlink(missing_ok=True)


def _changed(file: Path) -> int:
    """0: it was forgotten in this very moment."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _cell(found: dict[str, Any]) -> PlannedCell:
    return PlannedCell(**{**found, "place": Place(**found["place"]), "origin": Origin(**found["origin"])})


@lru_cache(maxsize=2 * MOST_GRIDS)
def _head(file: Path, _changed: int) -> Head | None:
    note = GridStore(file.parent).read(file.stem)
    if note is None:
        return None
    count = sum(bool(cell.signature) for cell in note.cells)
    return Head(file.stem, note.name, note.workflow, note.node, note.begun, note.summary, count)
