"""Taking back what was written last to the captions of a dataset, whoever wrote it: a page or Save Captions (Danlu)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...captioning.journal import Entry, Journal
from ...captioning.places import Places, inside, is_text_name
from ...captioning.text_files import Untouchable, decoded, read_bytes
from ...captioning.undo import Undone, undo_captions
from ...dataset.captions import one_line
from ...dataset.files import shown
from ...errors import DanluError
from .changes import SHOWN
from .editable import HIDDEN, Editing
from .open import Opened
from .pages import summary
from .rereading import reread
from .saving import Patience


def undo(opened: Opened, run: str, apply: bool, places: Places) -> dict[str, Any]:
    """`run` "": the last one. Without `apply` only what would be done."""
    folders = list(dict.fromkeys(place.folder for place in Editing.of(opened, places).places if place.beside))
    if not folders:
        raise DanluError(f"{HIDDEN}, and Undo Captions (Danlu) takes that back.")
    with opened.changing():
        before = undo_captions(folders, run, False, Patience()).folders
        name = next((undone.run for undone in before if undone.run), "")
        differences = [line for undone in before for line in _differences(undone)]
        done = undo_captions(folders, name, True, Patience()).folders if apply and name else before
        if apply:
            reread(opened, {undone.folder / file for undone in done for file in (*undone.restored, *undone.removed)})
        return {
            "run": name or None,
            "applied": apply and bool(name),
            "undo": next((undone.undo for undone in done if undone.undo), None),
            "restored": [shown(file) for undone in done for file in undone.restored],
            "removed": [shown(file) for undone in done for file in undone.removed],
            "left": [line for undone in done for line in undone.left],
            "note": " ".join(dict.fromkeys(undone.note for undone in done if undone.note)),
            "differences": differences[:SHOWN],
            "dataset": summary(opened, places),
        }


def _differences(undone: Undone) -> list[dict[str, str]]:
    """Texts as they are and as they would be; of tables there is no telling in a line."""
    entries = [e for e in Journal(undone.folder).entries() if e.run == undone.run and not e.row]
    touched = {*undone.restored, *undone.removed}
    return [found for entry in entries if entry.file in touched and (found := _difference(undone.folder, entry))]


def _difference(folder: Path, entry: Entry) -> dict[str, str] | None:
    if not is_text_name(entry.file) or entry.file.endswith((".csv", ".jsonl")):
        return None
    try:
        texts: Sequence[bytes | None] = (read_bytes(inside(folder, entry.file)), entry.old_bytes())
        before, after = (one_line(decoded(raw)[0]) if raw is not None else "" for raw in texts)
    except (Untouchable, DanluError, OSError, ValueError):
        return None
    return {"name": shown(entry.file), "before": before, "after": after}
