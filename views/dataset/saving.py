"""Captions that somebody types on a page, into their files: by the protocol of Save Captions (Danlu), so that Undo
Captions (Danlu) takes them back, and nothing that was written meanwhile is ever lost."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...captioning.journal import new_run
from ...captioning.places import Places
from ...captioning.plan import Item, Plan
from ...captioning.text_files import Untouchable, decoded
from ...captioning.writing import Saved, SaveRequest, save_captions
from ...dataset.captions import one_line
from ...dataset.files import shown
from ...dataset.model import Dataset, Picture, listed
from ...errors import DanluError
from ..errors import Busy
from .editable import Editing, format_of
from .open import PATIENCE, Opened, stamp
from .pages import items
from .rereading import put_bodies, reread, with_body

LONGEST = 20_000
"""Letters of a caption."""


class Patience:
    """A watcher that nobody sees; gives up where another writer takes too long."""

    def __init__(self) -> None:
        self._end: float | None = None

    def text(self, _text: str) -> None:
        """Told once, when it has to wait."""
        self._end = time.monotonic() + PATIENCE

    def progress(self, _done: int, _total: int) -> None: ...

    def check_interrupt(self) -> None:
        if self._end is not None and time.monotonic() > self._end:
            raise Busy("Somebody else is writing captions to this folder. Try again in a moment.")


@dataclass(frozen=True)
class Edit:
    n: int
    body: str
    was: str
    """What the page has shown: whoever has written something else meanwhile is not overwritten."""


def edit_captions(opened: Opened, edits: Sequence[Edit], places: Places) -> dict[str, Any]:
    """Raises DanluError for what cannot be edited, Busy for what somebody has changed; then nothing is written."""
    with opened.changing():
        _check(opened, edits, Editing.of(opened, places))
        run = new_run()
        written, left = _Saving(opened, edits, places, run).save()
        numbers = sorted({n for each in edits for n in opened.by_path[opened.now[each.n].path]})
        return {
            "id": opened.id,
            "revision": opened.revision,
            "run": run if written else None,
            "written": written,
            "left": left,
            "items": items(opened, numbers, places),
        }


def _check(opened: Opened, edits: Sequence[Edit], editing: Editing) -> None:
    seen: dict[Path, str] = {}
    for edit in edits:
        picture = opened.picture(edit.n)
        why_not = "It was dropped" if edit.n in opened.dropped else editing.why_not(opened, edit.n)
        if why_not:
            raise DanluError(f"The caption of {picture.name} cannot be edited. {why_not}.")
        if len(edit.body) > LONGEST:
            raise DanluError(f"The caption of {picture.name} is longer than {LONGEST:,} letters.")
        if seen.setdefault(picture.path, edit.body) != edit.body:
            raise DanluError(f"{picture.name} is to get two captions at once. Send one.")


class _Saving:
    def __init__(self, opened: Opened, edits: Sequence[Edit], places: Places, run: str) -> None:
        self.opened = opened
        self.places = places
        self.run = run
        self.edits = {opened.now[edit.n].path: edit for edit in edits}
        self.before: dict[Path, str | None] = {}
        """What was in the files."""

    def save(self) -> tuple[int, list[str]]:
        """How many files or rows were written, and the names of those that somebody changed in that very moment."""
        groups = self._groups()
        for kind, part in groups.items():
            self._saved(part, kind, dry_run=True)
        saved = [self._saved(part, kind) for kind, part in groups.items()]
        done = [item for each in saved for plan in each.plans for item in each.written(plan)]
        left = {path for each in saved for path in each.changed_meanwhile}
        self._told(saved, left)
        reread(self.opened, left)
        return len(done), [shown(path.name) for path in sorted(left)]

    def _groups(self) -> Mapping[str, Dataset]:
        """What is written together, by format."""
        found: dict[str, set[int]] = {}
        for edit in self.edits.values():
            found.setdefault(format_of(self.opened.now[edit.n]), set()).add(edit.n)
        return {kind: self._typed(frozenset(numbers)) for kind, numbers in found.items()}

    def _typed(self, numbers: frozenset[int]) -> Dataset:
        def typed(_part: Dataset, picture: Picture) -> Picture:
            body = one_line(self.edits[picture.path].body)
            return replace(picture, body=body, caption=body, captioner="", seed=None, parts=())

        return self.opened.dataset(numbers).mapped(typed)

    def _saved(self, part: Dataset, kind: str, dry_run: bool = False) -> Saved:
        request = SaveRequest(
            self.places, "replace", kind, replace_yours=True, dry_run=dry_run, typed=True, run=self.run
        )
        return save_captions(part, request, Patience(), self._no_conflict)

    def _no_conflict(self, plans: list[Plan]) -> None:
        found = [(plan, item) for plan in plans for item in plan.items]
        stuck = [f"{shown(item.file)} ({item.why})" for _, item in found if item.why]
        if stuck:
            raise DanluError(f"Captions cannot be written: {listed(stuck)}. Replace these files by plain text files.")
        clashes = [(plan.folder / item.file, item) for plan, item in found if not self._is_known(plan, item)]
        if clashes:
            new = {file for file, _ in clashes if stamp(file) != self.opened.stamps.get(file)}
            reread(self.opened, new)
            names = listed([item.picture.name for _, item in clashes])
            raise Busy(f"Somebody has changed the captions of {names} meanwhile. Nothing was written; look again.")

    def _is_known(self, plan: Plan, item: Item) -> bool:
        """Whether nothing is lost that the page has not shown.

        A node may have changed a text since it was read: then the page has shown that one, and the file is as it was.
        """
        there = _text(item)
        self.before[item.picture.path] = there
        edit, file = self.edits[item.picture.path], plan.folder / item.file
        if one_line(there or "") in ("", one_line(edit.was), one_line(edit.body)):
            return True
        shown_now = self.opened.now[edit.n]
        as_read = shown_now.text_file == file and stamp(file) == self.opened.stamps.get(file)
        return as_read and one_line(edit.was) == shown_now.body

    def _told(self, saved: Sequence[Saved], left: set[Path]) -> None:
        """The opened dataset says what its files say."""
        pictures: dict[int, Picture] = {}
        for folder, item in ((plan.folder, item) for each in saved for plan in each.plans for item in plan.items):
            file = folder / item.file
            if file in left:
                continue
            self.opened.stamps[file] = stamp(file)
            body = one_line(self.edits[item.picture.path].body)
            for n in self.opened.by_path[item.picture.path]:
                if self.opened.now[n].body != body:
                    self.opened.originals.setdefault(n, self.before[item.picture.path])
                there = item.text is not None or item.old is not None
                pictures[n] = with_body(self.opened.now[n], body, file if there else None)
        put_bodies(self.opened, pictures)


def _text(item: Item) -> str | None:
    if item.old is None:
        return None
    try:
        return item.old.decode("utf-8", "surrogatepass") if item.row else decoded(item.old)[0]
    except Untouchable:
        return None
