"""A grid while it is made: tells pages of every cell, and keeps the LoRA of one."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths
import numpy as np
import torch
from PIL import Image

from ..errors import DanluError
from ..sweep.cells import Cell, Place
from ..sweep.grids import GridNote, GridStore, Marks, PlannedCell, grid_id
from ..sweep.store import CellStore, plain_name, save_png
from ..training.metadata import GRAPH
from ..training.picture import cover, thumbnails
from ..training.runs.labels import name_and_use
from ..training.runs.store import RunHandle
from ..training.saving import SaveRequest, save_run
from ..views.errors import Busy
from ..views.grid import Grids, Live
from ..views.run_ids import run_of
from .lora import verify
from .paths import loras_folder, runs_folder, system_folder
from .server import queue, queued, send

if TYPE_CHECKING:
    from .loops import RunningLoop

EVENT = "danlu.cell"
SUBFOLDER = "danlu"
REMEMBERED = 50
"""Grids whose queue items are known."""
log = logging.getLogger(__name__)

_live: dict[str, Live] = {}
_keeping = threading.Lock()


def all_grids() -> Grids:
    return Grids(GridStore(system_folder() / "grids"), cell_store())


def cell_store() -> CellStore:
    return CellStore(system_folder() / "cells", Path(folder_paths.get_output_directory()))


def live(id: str) -> Live | None:
    """None: nothing was made of it since the server started."""
    found = _live.get(id)
    if found is None:
        return None
    running, _ = queued()
    if any(item[1] == found.prompt for item in running):
        return replace(found, running=True)
    return replace(found, why=_failure(found.prompt))


def _failure(prompt: str) -> str:
    """What the host noted of a queue item that failed."""
    items = queue()
    entry = items.get_history(prompt_id=prompt).get(prompt) if items is not None else None
    for kind, data in ((entry or {}).get("status") or {}).get("messages") or []:
        if kind == "execution_error":
            return str(data.get("exception_message", "")).strip() or str(data.get("exception_type", ""))
    return ""


class Watch:
    """Tells what becomes of a loop."""

    def __init__(self, loop: RunningLoop, workflow: str) -> None:
        self._loop, self._workflow = loop, workflow[:100]
        self._given = _given_pictures(loop)
        self._store = all_grids().store
        self._begun = time.time()
        self._now: list[Cell | None] = []
        plan = loop.plan
        signatures = [loop.signature(cell) for cell in plan.cells]
        self.id = grid_id(self._workflow, loop.body.grid, plan.name, loop.shared, signatures)

    def begun(self, now: list[Cell | None]) -> None:
        """`now`: the loop's cells, which are others than were planned where training was ended early."""
        if now == self._now:
            return
        cells = tuple(self._planned(cell, planned) for cell, planned in zip(now, self._loop.plan.cells, strict=True))
        plan, node, shared = self._loop.plan, self._loop.body.grid, self._loop.shared
        note = GridNote(plan.name, self._workflow, node, self._begun, plan.summary, shared, cells + self._given)
        try:
            self._store.write(self.id, note)
        except OSError as error:
            log.warning("The grid is not shown as it is made, %s cannot be written to: %s", self._store.folder, error)
        self._now, self._note = now, note
        self._tell("begun")

    def now(self, number: int, cells: list[Cell | None]) -> None:
        """The cell that is made now; `cells`: as in `begun`."""
        self.begun(cells)
        _live.pop(self.id, None)
        prompt = _prompt_id()
        _live[self.id] = Live(prompt, number)
        while len(_live) > REMEMBERED:
            _live.pop(next(iter(_live)))
        self._tell("now", n=number, prompt=prompt)

    def done(self, number: int) -> None:
        grids = all_grids()
        self._tell("done", n=number, cell=grids.cell_state(self._note, number, self._store.marks(self.id)))

    def ended(self) -> None:
        _live.pop(self.id, None)
        self._tell("ended")

    def _planned(self, now: Cell | None, planned: Cell) -> PlannedCell:
        cell = now or planned
        return PlannedCell(cell.label, cell.place, cell.origin, self._loop.signature(now) if now else "")

    def _tell(self, what: str, **more: Any) -> None:
        """To every page: a second one, or one that was loaded again, shows the same grid."""
        data = {"grid": self.id, "workflow": self._workflow, "node": self._loop.body.grid, "what": what, **more}
        send(EVENT, data)


def _prompt_id() -> str:
    from comfy_execution.utils import get_executing_context

    context = get_executing_context()
    return context.prompt_id if context else ""


def _given_pictures(loop: RunningLoop) -> tuple[PlannedCell, ...]:
    """Pictures that stand in the grid and are made by no cell, as files beside the others."""
    numbers = {cell.row: cell.place.picture for cell in loop.plan.cells}
    found: dict[Place, PlannedCell] = {}
    for (column, row), pixels in loop.plan.pictures.items():
        place = Place(column, picture=numbers.get(row))
        if place in found:
            continue
        folder = loop.store.output / "danlu" / plain_name(loop.plan.name)
        file = folder / f"{plain_name(column)}_{hashlib.sha256(pixels).hexdigest()[:8]}.png"
        if not file.exists():
            save_png(file, Image.fromarray(pixels), {})
        found[place] = PlannedCell(column, place, file=file.relative_to(loop.store.output).as_posix())
    return tuple(found.values())


@dataclass(frozen=True)
class Kept:
    path: Path
    name: str
    """As the host's loaders list it."""
    strength: float | None
    already: bool
    """The cell shows a file that is there."""
    marks: Marks


def suggested_name(id: str, number: int) -> str:
    """Of a cell's LoRA; empty where it is a file already, or there is none."""
    _, cell = all_grids().cell(id, number)
    run = cell.origin.run
    return f"{name_and_use(run_of(runs_folder(), run).folder)[0]}_step_{cell.origin.step}" if run else ""


def keep(id: str, number: int, name: str = "", subfolder: str = SUBFOLDER) -> Kept:
    """Saves the LoRA of a cell into models/loras, checked by loading it again, as Keep Best does; the cell's picture
    and workflow go with it. Its checkpoint is pinned in its run.

    Raises DanluError for a cell without a LoRA, NotFound where its run is gone, Busy while another one is kept.
    """
    grids = all_grids()
    _, cell = grids.cell(id, number)
    if not cell.origin.run and not cell.origin.file:
        raise DanluError(f"The cell {cell.label} shows no LoRA, so there is nothing to keep.")
    if not _keeping.acquire(blocking=False):
        raise Busy("Another LoRA is being kept; wait until it is there.")
    try:
        path = Path(cell.origin.file) if cell.origin.file else _saved(grids, id, number, cell, name, subfolder)
        if not path.is_file():
            raise DanluError(f"{path.name} is gone from {path.parent}.")
        listed = _listed(path)
        marks = grids.store.keep(id, number, listed)
    finally:
        _keeping.release()
    return Kept(path, listed, cell.place.strength, bool(cell.origin.file), marks)


def _saved(grids: Grids, id: str, number: int, cell: PlannedCell, name: str, subfolder: str) -> Path:
    store, step = run_of(runs_folder(), cell.origin.run), cell.origin.step
    if not store.checkpoint_path(step).is_file():
        raise DanluError(
            f"The checkpoint of {cell.place.checkpoint} was removed. Queue the node that trained it again."
        )
    handle = RunHandle(store.folder, step, name_and_use(store.folder)[0])
    pixels, texts = _picture(grids.file(id, number))
    extras = {**texts, **thumbnails(pixels), **_hint(store.load_checkpoint(step)[1], cell.place.strength)}
    target = name.strip() or suggested_name(id, number)
    request = SaveRequest(loras_folder(), target, subfolder, "auto", "auto", "final", extras)
    path = save_run(handle, request, verify)[-1]
    cover(path, pixels, texts)
    store.pin(step, "kept from a grid")
    return path


def _hint(facts: Mapping[str, str], strength: float | None) -> dict[str, str]:
    """How it was used in the cell, in words, where model browsers show them."""
    if strength is None:
        return {}
    trigger = [f"Write {facts['trigger']} in the prompt."] if facts.get("trigger") else []
    return {"modelspec.usage_hint": " ".join([*trigger, f"Strength {strength:g}."])}


def _picture(file: Path) -> tuple[torch.Tensor, dict[str, str]]:
    """((1, height, width, 3) of 0 to 1, the workflow that it carries)"""
    with Image.open(file, formats=("PNG",)) as picture:
        texts = {key: text for key in GRAPH if isinstance(text := picture.info.get(key), str)}
        pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(pixels)[None], texts


def _listed(path: Path) -> str:
    """The path below whichever of the host's LoRA folders it is in."""
    for root in map(Path, folder_paths.get_folder_paths("loras")):
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    raise DanluError(f"{path.name} lies outside of models/loras.")
