"""A loop while it runs: one cell after the other, each a copy of the nodes between the loop node and its grid.

The grid expands into one node a cell, each waiting for the one before. When its turn comes, such a node expands into
the copy and a node that stores the picture; so no node of a cell is known to the host before the cell before is done.
What differs from one cell to the next is in constants and small nodes only: everything else keeps the host's own cache
keys, and copies that are equal are one node.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import comfy.model_management
import folder_paths
import nodes as host_nodes
import torch
from comfy.cli_args import args
from comfy_execution.graph import get_input_info
from PIL import Image
from torch import Tensor

from ..errors import DanluError
from ..sweep.cells import Cell, LoopPlan
from ..sweep.expand import GRID, Body, Copy, find_body, is_link, signature
from ..sweep.pages import Shown, draw_pages
from ..sweep.spill import on_disk, spill
from ..sweep.store import CellStore, Done, note_of, plain_name, save_png
from ..training.reporter import duration
from .grids import Watch, cell_store
from .loop_files import named_file
from .loop_plans import arrays
from .report import NodeReporter

CELL, STORE, PAGES, HOLD, HELD = "DanluGridCell", "DanluGridStore", "DanluGridPages", "DanluGridHold", "DanluGridHeld"

ROWS = 256
"""Of a page that are held as numbers at a time."""
log = logging.getLogger(__name__)

Entry = dict[str, str]
"""A picture as the host's front end knows it."""


@dataclass(frozen=True)
class Expansion:
    """What the host runs in place of a node."""

    nodes: dict[str, Any]
    result: Any
    """The link whose value becomes the node's."""


@dataclass
class RunningLoop:
    """Lives in the graph of one prompt, as an input of the nodes that it expands to."""

    plan: LoopPlan
    body: Body
    store: CellStore
    texts: Mapping[str, str]
    """What pictures carry: the workflow."""
    held: dict[str, list[Any]] = field(default_factory=dict)
    """Values of nodes around the body, where the host caches none: "node id:output" -> its list."""
    seconds: list[float] = field(default_factory=list)
    """Of the cells of this prompt."""
    started: float = 0.0
    waiting: set[int] = field(default_factory=set)
    """Numbers of the cells that are yet to be made."""
    watch: Watch = field(init=False)
    _signatures: dict[str, str] = field(default_factory=dict)

    @classmethod
    def begin(
        cls, plan: Any, graph: Mapping[str, Any], grid: str, texts: Mapping[str, str], workflow: str = ""
    ) -> RunningLoop:
        """`workflow`: its id in the front end. Raises DanluError where the graph is no loop."""
        if not isinstance(plan, LoopPlan):
            raise DanluError("loop: wire the loop output of Train Loop (Danlu) or Sweep (Danlu).")
        found = cls(plan, find_body(graph, grid, _is_output), cell_store(), texts)
        cells = found.cells_now()
        found.waiting = {n for n, cell in enumerate(cells) if cell and found.done(cell) is None}
        found.watch = Watch(found, workflow)
        found.watch.begun(cells)
        return found

    # What is there

    def now(self, number: int) -> Cell:
        return self.plan.now(self.plan.cells[number])

    def cells_now(self) -> list[Cell | None]:
        """None: training ended early, so that this cell would be one that was there before."""
        cells = [self.plan.now(cell) for cell in self.plan.cells]
        first: dict[str, int] = {}
        for number, cell in enumerate(cells):
            first.setdefault(cell.label, number)
        return [cell if first[cell.label] == number else None for number, cell in enumerate(cells)]

    def done(self, cell: Cell) -> Done | None:
        return self.store.find(self.shared, self.signature(cell))

    def signature(self, cell: Cell | None) -> str:
        label = cell.label if cell else ""
        if label not in self._signatures:
            self._signatures[label] = signature(self.body, cell.given if cell else None, named_file)
        return self._signatures[label]

    @property
    def shared(self) -> str:
        """The signature of no cell in particular."""
        return self.signature(None)

    # What the nodes do

    def expanded(self) -> Expansion:
        """The grid's."""
        prefix = f"{self.body.grid}.0."
        nodes: dict[str, Any] = {}
        last: dict[str, Any] = {}
        if args.cache_none and (links := self._around()):
            nodes[f"{prefix}hold"] = {"class_type": HOLD, "inputs": {"running": self, **links}}
            last = {"previous": [f"{prefix}hold", 0]}
        for number in range(len(self.plan.cells)):
            name = f"{prefix}cell{number}"
            nodes[name] = {"class_type": CELL, "inputs": {"running": self, "number": number, **last}}
            last = {"previous": [name, 0]}
        nodes[f"{prefix}pages"] = {"class_type": PAGES, "inputs": {"running": self, **last}}
        self.tell()
        return Expansion(nodes, [f"{prefix}pages", 0])

    def turn(self, number: int, graph: Any) -> Expansion | list[Entry]:
        """A cell's: what makes it, or its pictures where it is done. `graph`: the host's DynamicPrompt."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        cells = self.cells_now()
        cell = cells[number]
        done = self.done(cell) if cell else None
        if cell is None or done:
            self.waiting.discard(number)
            return _entries(done.files) if done else []
        self.started = time.monotonic()
        self.tell(cell.label)
        self.watch.now(number, cells)
        prefix = f"{self.body.grid}.0."
        copy = Copy(self.body, cell.given, prefix, self._outside)
        inputs = {"running": self, "number": number, "image": copy.ends["image"]}
        if "label" in copy.ends:
            inputs["label"] = copy.ends["label"]
        # What hangs off comes before the picture is stored, and all that was made on the way is put aside after it.
        inputs |= {f"after_{n}": link for n, link in enumerate([*copy.before_hanging, *copy.results(_is_lazy)])}
        nodes = {
            **copy.nodes,
            **self._holders(prefix),
            f"{prefix}store{number}": {"class_type": STORE, "inputs": inputs},
        }
        new = {name: node for name, node in nodes.items() if not graph.has_node(name)}
        return Expansion(new, [f"{prefix}store{number}", 0])

    def keep(self, number: int, images: Sequence[Tensor], label: str, made: Any = ()) -> list[Entry]:
        """Stores what was made of a cell. `images`: batches (B, height, width, channels) of 0 to 1; `made`: all that
        the cell's nodes gave, which the host would hold in memory until the prompt ends."""
        cell = self.now(number)
        seconds = time.monotonic() - self.started
        pictures = [Image.fromarray(array) for batch in images for array in arrays(batch)]
        if not pictures:
            raise DanluError(f"image: no picture came of the cell {cell.label}.")
        label = "" if label == cell.label else label
        place = (self.plan.name, cell.label)
        texts = {**self.texts, **note_of(cell)} if self.texts else {}
        done = self.store.add(self.shared, self.signature(cell), pictures, place, texts, label, seconds)
        self.seconds.append(seconds)
        self.waiting.discard(number)
        self.tell()
        self.watch.done(number)
        try:
            spill([images, made], _spilled())
        except OSError as error:
            log.warning("Pictures stay in memory, %s cannot be written to: %s", _spilled(), error)
        return _entries(done.files)

    def pages(self) -> tuple[Tensor, list[Entry]]:
        """All that is done as labelled pictures (pages, height, width, 3) of 0 to 1."""
        cells, names = {}, {}
        for number, planned in enumerate(self.plan.cells):
            cell = self.now(number)
            names[planned.column] = cell.column
            done = self.done(cell)
            if done is not None:
                cells[cell.column, cell.row] = Shown(done.files, done.label)
        for place, array in self.plan.pictures.items():
            cells[place] = Shown((array,))
        columns = list(dict.fromkeys(names.get(column, column) for column in self.plan.columns))
        files: list[Path] = []

        def rows() -> Iterator[Tensor]:
            files.clear()
            return self._saved(draw_pages(self.plan.name, columns, self.plan.rows, cells), files)

        drawn = _kept(rows, _spilled())
        self.tell()
        self.watch.ended()
        return drawn.view(len(files), -1, *drawn.shape[1:]), _entries(files)

    def _saved(self, pages: Iterable[Image.Image], files: list[Path]) -> Iterator[Tensor]:
        """Rows of pixels of one page after the other, each of which is saved first."""
        folder = self.store.output / "danlu" / plain_name(self.plan.name)
        for number, page in enumerate(pages, 1):
            files.append(folder / f"grid_{self.shared[:8]}_{number}.png")
            save_png(files[-1], page, self.texts)
            for top in range(0, page.height, ROWS):
                yield _tensor(page.crop((0, top, page.width, min(top + ROWS, page.height))))

    # Values of the nodes around, where the host keeps none

    def _around(self) -> dict[str, Any]:
        """Links of what is yet to be made to nodes that are not copied."""
        found: dict[str, Any] = {}

        def outside(link: list[Any]) -> list[Any]:
            found[_key(link)] = link
            return link

        for number in self.waiting:
            Copy(self.body, self.now(number).given, "", outside)
        return found

    def _outside(self, link: list[Any]) -> list[Any]:
        return [f"{self.body.grid}.0.{_key(link)}", 0] if _key(link) in self.held else link

    def _holders(self, prefix: str) -> dict[str, Any]:
        return {f"{prefix}{key}": {"class_type": HELD, "inputs": {"running": self, "key": key}} for key in self.held}

    # What the user reads

    def tell(self, label: str = "") -> None:
        """On the grid; `label`: of the cell that is begun now."""
        count, missing = len(self.plan.cells), len(self.waiting)
        lines = [self.plan.summary]
        if missing:
            seconds = median(self.seconds) if self.seconds else self.store.usual_seconds(self.shared)
            left = f"about {duration(missing * seconds)}" if seconds else "the first one tells the time"
            lines.append(f"{missing} of {count} cells to go: {left}")
        else:
            lines.append(f"all {count} cells are done")
        if label:  # two lines are what a node has room for
            lines[-1] += f" · now: {label}"
        NodeReporter(self.body.grid).text("\n".join(lines))


def _key(link: Sequence[Any]) -> str:
    return f"{link[0]}:{link[1]}"


def _kept(rows: Callable[[], Iterator[Tensor]], folder: Path) -> Tensor:
    """In a file in `folder`; where that cannot be, in memory."""
    try:
        return on_disk(rows(), folder)
    except OSError as error:
        log.warning("Pages stay in memory, %s cannot be written to: %s", folder, error)
        return torch.cat(list(rows()))


def _spilled() -> Path:
    """The host empties its folder of temporary files when it starts and ends."""
    return Path(folder_paths.get_temp_directory()) / "danlu"


def _is_lazy(class_type: str, name: str) -> bool:
    """Whether the host asks the node first if it needs this input."""
    *_, options = get_input_info(host_nodes.NODE_CLASS_MAPPINGS[class_type], name, None)
    return bool(options and options.get("lazy"))


def _is_output(class_type: str) -> bool:
    found = host_nodes.NODE_CLASS_MAPPINGS.get(class_type)
    return bool(getattr(found, "OUTPUT_NODE", False)) and class_type != GRID


def _entries(files: Sequence[Path]) -> list[Entry]:
    root = Path(folder_paths.get_output_directory())
    return [
        {"filename": file.name, "subfolder": file.parent.relative_to(root).as_posix(), "type": "output"}
        for file in files
    ]


def _tensor(picture: Image.Image) -> Tensor:
    import numpy as np

    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255.0)


def has_grid(graph: Mapping[str, Any], loop: str) -> bool:
    """Whether a grid ends this loop."""
    links = (node["inputs"].get("loop") for node in graph.values() if node["class_type"] == GRID)
    return any(is_link(link) and link[0] == loop for link in links)


def nothing() -> Any:
    """What the loop node itself gives the nodes between it and its grid: only copies of them run."""
    from comfy_execution.graph_utils import ExecutionBlocker

    return ExecutionBlocker(None)
