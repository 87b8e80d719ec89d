"""The runs on disk as the Runs tab lists them, and what people do with one from there."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DanluError
from ..training.files import checked_name
from ..training.runs.labels import SHORT_ID, label, name_and_use
from ..training.runs.prune import InUse, from_trash, to_trash, trash_of
from ..training.runs.session import GRAPHS, LONGEST, is_imported, read_graph
from ..training.runs.store import RunStore
from ..training.runs.transfer import export_run
from ..training.writing import write_json
from .errors import Busy, NotFound
from .run_ids import ID, run_of
from .run_rows import folder_size, forget, row_of

_GONE = re.compile(rf"{ID.pattern}-(\d{{8}}-\d{{6}})(-\d+)?")
"""A run in the trash, as `to_trash` names it."""
SETTINGS = ("algorithm", "rank", "alpha", "targets")
TRAINING = ("learning_rate", "optimizer", "lr_scheduler", "batch_size", "gradient_accumulation")


@dataclass(frozen=True)
class Runs:
    """Those of one ComfyUI. Every method raises NotFound for an id of none, and Busy where a training holds the run."""

    folder: Path
    exports: Path
    """Where `export` writes."""

    def listing(self) -> dict[str, Any]:
        """The one last used first; sizes in bytes, a file that two runs share counted once in `size`."""
        rows, shared, double = [], {}, 0
        stores = list(self._stores())
        for store in stores:
            try:
                row, theirs = row_of(store)
            except (OSError, ValueError):
                continue  # it went while this was made
            rows.append(row)
            double += sum(theirs.values())
            shared.update(theirs)
        forget(stores)
        size = sum(row["size"] for row in rows) - double + sum(shared.values())
        rows.sort(key=lambda row: row["used"], reverse=True)
        return {"runs": rows, "size": size, "trash": len(self._gone())}

    def one(self, run: str) -> dict[str, Any]:
        """Its line, and what is too much for a list."""
        store = self._store(run)
        row, _ = row_of(store)
        return {**row, "settings": _settings(store), "label": label(store.folder), "started_from": _parent(store)}

    def pin(self, run: str, pinned: bool) -> dict[str, Any]:
        store = self._store(run)
        store.keep(pinned)
        return row_of(store)[0]

    def rename(self, run: str, name: str) -> dict[str, Any]:
        """Until the graph that trains it gives it its own name again."""
        store = self._store(run)
        write_json(store.folder / "name.json", {"name": checked_name(name, "name"), "used": store.name()[1]})
        return row_of(store)[0]

    def graph(self, run: str) -> dict[str, Any]:
        """`workflow` and `prompt` that it was last trained by, None where they are not there."""
        folder = self._store(run).folder
        found: dict[str, Any] = {kind: read_graph(folder, kind) for kind in GRAPHS}
        return {**found, "label": label(folder), "imported": is_imported(folder)}

    # The trash

    def trash(self, run: str) -> dict[str, Any]:
        with _refused():
            return {"entry": to_trash(self._store(run)).name}

    def trashed(self) -> dict[str, Any]:
        """The one last thrown away first."""
        found = [_entry(folder) for folder in self._gone()]
        return {"runs": sorted(found, key=lambda entry: entry["gone"], reverse=True)}

    def restore(self, run: str, entry: str = "") -> dict[str, Any]:
        """`entry`: which of those with this id; "": the one last thrown away."""
        gone = [folder for folder in self._gone() if folder.name.startswith(f"{run}-")]
        chosen = [folder for folder in gone if entry in ("", folder.name)]
        if not chosen:
            raise NotFound("There is no such run in the trash (any more).")
        if (self.folder / run / "manifest.json").exists():
            raise Busy("This run has been trained anew since: move that one to the trash first.")
        newest = max(chosen, key=lambda folder: (_when(folder), folder.name))
        return row_of(from_trash(newest, self.folder))[0]

    def _gone(self) -> list[Path]:
        found = trash_of(self.folder).glob("*/manifest.json")
        return [m.parent for m in found if _GONE.fullmatch(m.parent.name) and not m.parent.is_symlink()]

    # Files to take along

    def export(self, run: str) -> dict[str, Any]:
        """Name and bytes of the file that it was written into."""
        with _refused():
            file = export_run(self._store(run), self.exports)
        return {"file": file.name, "size": file.stat().st_size}

    def archive(self, run: str, name: str) -> Path:
        """A file of `export`: none of another run or from elsewhere."""
        wanted = rf"[^/\\:\0]+-{re.escape(run[:SHORT_ID])}(-\d+)?\.zip"
        path = self.exports / name if ID.fullmatch(run) and re.fullmatch(wanted, name) else None
        if path is None or not path.is_file() or path.is_symlink():
            raise NotFound("There is no such file (any more). Export the run once more.")
        return path

    def _store(self, run: str) -> RunStore:
        return run_of(self.folder, run)

    def _stores(self) -> Iterator[RunStore]:
        for folder in self.folder.glob("*/"):
            with suppress(NotFound):
                yield self._store(folder.name)


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except InUse as error:
        raise Busy(str(error)) from error


def _settings(store: RunStore) -> dict[str, Any]:
    try:
        manifest = store.manifest()
        lora, training = manifest["lora"], manifest["training"]
        chosen = {name: lora[name] for name in SETTINGS if name in lora}
        return {**chosen, **{name: training[name] for name in TRAINING if name in training}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DanluError(f"The manifest of {label(store.folder)} cannot be read: {error}.") from error


def _parent(store: RunStore) -> dict[str, Any] | None:
    parent = store.manifest().get("parent")
    return {"run": parent["run"], "step": parent["step"]} if parent else None


def _entry(folder: Path) -> dict[str, Any]:
    steps = [int(file.stem) for file in (folder / "checkpoints").glob("[0-9]*.safetensors")]
    return {
        "id": folder.name.partition("-")[0],
        "entry": folder.name,
        "name": name_and_use(folder)[0][:LONGEST],
        "step": max(steps, default=0),
        "size": folder_size(folder)[0],
        "gone": _when(folder),
    }


def _when(folder: Path) -> float:
    """Seconds since the epoch, 0 where its name tells none."""
    found = _GONE.fullmatch(folder.name)
    try:
        return time.mktime(time.strptime(found[1], "%Y%m%d-%H%M%S")) if found else 0.0
    except (ValueError, OverflowError):
        return 0.0
