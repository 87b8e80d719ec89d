"""Taking back what was saved, byte for byte; the undo is journaled, so that it can be taken back as well."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..dataset import paths
from ..dataset.model import Dataset, counted, listed
from ..errors import DanluError
from .journal import UNDO, Entry, History, Journal, Watcher, encoded, new_run
from .places import Places, inside, is_text_name, places_of
from .plan import TABLE_BYTES
from .text_files import Untouchable, create, debris, overwrite, read_bytes, sha, sync_folder

SHOWN_RUNS = 8


@dataclass
class Undone:
    """Of one folder."""

    folder: Path
    applied: bool
    run: str = ""
    undo: str = ""
    """Name of the undo, to take it back."""
    restored: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    same: int = 0
    """Were as before already."""
    left: list[str] = field(default_factory=list)
    """With why they are left as they are."""
    note: str = ""
    runs: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        lines = [f"{self.folder}:"]
        if self.note:
            lines.append(self.note)
        if self.run:
            verb = "Undone" if self.applied else "Turn 'apply' on to undo"
            lines.append(f"{verb} run {self.run}.{f' This undo is run {self.undo}.' if self.undo else ''}")
            would = "" if self.applied else "would be "
            lines.append(f"{counted(len(self.restored), 'text')} {would}restored, {len(self.removed)} {would}removed")
            if self.same:
                lines.append(f"{counted(self.same, 'text')} as before already")
        if self.left:
            lines.append(f"Left as they are: {listed(self.left)}")
        return [*lines, *self.runs]


@dataclass
class Undoing:
    folders: list[Undone]

    def text(self) -> str:
        return "\n".join(line for undone in self.folders for line in undone.lines())


def undo_folders(folder: str, dataset: Dataset | None, roots: tuple[Path, ...], places: Places) -> list[Path]:
    """Where the captions are that somebody wants back."""
    if folder.strip():
        found = paths.find(folder, roots)
        if not found.is_dir():
            raise DanluError(f"The input 'folder': {found} is no folder. Give the one that captions were saved to.")
        return [found]
    if dataset is None:
        raise DanluError("The input 'folder' is empty, and no dataset is wired: say where the captions were saved.")
    return list(dict.fromkeys(place.folder for place in places_of(dataset, "", places)))


def undo_captions(folders: Sequence[Path], run: str, apply: bool, watcher: Watcher) -> Undoing:
    """`run` "": what was saved last; undone already, nothing happens. Raises DanluError for a run that no folder has.

    Without `apply` it only says what would be done.
    """
    wanted, name = run.strip(), new_run()
    journals = {folder: Journal(folder).entries() for folder in folders}
    if wanted and not any(entry.run == wanted for entries in journals.values() for entry in entries):
        known = [line for entries in journals.values() for line in _runs(entries)]
        raise DanluError(f"The input 'run': there is no run {wanted!r}. {' '.join(known) or 'None was ever saved.'}")
    done = []
    for folder, entries in journals.items():
        if not apply or not entries:
            done.append(_Undo(folder, wanted, name, False).work(watcher))
            continue
        try:
            with Journal(folder).locked(watcher):
                done.append(_Undo(folder, wanted, name, True).work(watcher))
        except OSError as error:
            raise DanluError(
                f"Captions in {folder} cannot be restored ({error.strerror or error}). What was restored so far is "
                "whole, the rest is in the journal: mend this, and queue again."
            ) from error
    return Undoing(done)


class _Undo:
    def __init__(self, folder: Path, run: str, name: str, apply: bool) -> None:
        self.folder, self.name, self.apply = folder, name, apply
        self.journal = Journal(folder)
        self.entries = self.journal.entries()
        self.history = History(folder, self.entries)
        self.out = Undone(folder, apply)
        self.run = run or self._last()
        self.count = 0

    def _last(self) -> str:
        if not self.entries:
            self.out.note = "No captions were ever saved here."
            return ""
        last = self.entries[-1]
        if last.kind != UNDO:
            return last.run
        self.out.note = (
            f"What was saved last is undone already (by run {last.run}, which undid {last.undoes}). To go further "
            "back, or to undo the undo, name a run in 'run'."
        )
        return ""

    def work(self, watcher: Watcher) -> Undone:
        found = [entry for entry in self.entries if entry.run == self.run]
        if not self.apply:
            self.out.runs = _runs(self.entries)
        if not found:
            return self.out
        self.out.run = self.run
        rows: dict[str, list[Entry]] = {}
        for entry in found:
            if entry.row:
                rows.setdefault(entry.file, []).append(entry)
        files = [entry for entry in reversed(found) if not entry.row]
        for number, entry in enumerate(files):
            watcher.check_interrupt()
            try:
                self._file(entry, rows.get(entry.file, []))
            except (Untouchable, DanluError, ValueError) as error:
                self.out.left.append(f"{entry.file} ({error})")
            watcher.progress(number + 1, len(files))
        if self.out.applied and (self.out.restored or self.out.removed):
            self.out.undo = self.name
        return self.out

    def _file(self, entry: Entry, rows: list[Entry]) -> None:
        if not is_text_name(entry.file):
            raise Untouchable("no caption file")
        path, old = inside(self.folder, entry.file), entry.old_bytes()
        if (None if old is None else sha(old)) != entry.was:
            raise Untouchable("its line in the journal is broken")
        now = read_bytes(path, TABLE_BYTES)
        found = None if now is None else sha(now)
        if found == entry.was:
            self.out.same += 1
            return
        if found != entry.new:
            raise Untouchable("changed since")
        (self.out.removed if old is None else self.out.restored).append(entry.file)
        if self.apply:
            self._restore(path, entry, now, old, rows)

    def _restore(self, path: Path, entry: Entry, now: bytes | None, old: bytes | None, rows: list[Entry]) -> None:
        for file in debris(path.parent):
            file.unlink(missing_ok=True)
        self.journal.append([self._taken_back(entry, encoded(now)), *(self._taken_back(row, None) for row in rows)])
        if old is None:
            path.unlink()
        elif now is None:
            create(path, old)
        else:
            overwrite(path, old)
        sync_folder(path.parent)

    def _taken_back(self, entry: Entry, old: str | None) -> Entry:
        self.count += 1
        return Entry(
            f"{self.name}/{self.count}",
            self.name,
            UNDO,
            time.time(),
            entry.file,
            entry.row,
            was=entry.new,
            new=entry.was,
            old=old,
            before=entry.owner,
            owner=entry.before,
            undoes=entry.run,
        )


def _runs(entries: Sequence[Entry]) -> list[str]:
    """The last runs, newest first, one a line."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if not entry.row:
            found.setdefault(entry.run, []).append(entry)
    lines = []
    for run, changes in list(found.items())[: -SHOWN_RUNS - 1 : -1]:
        what = f"undid {changes[0].undoes}" if changes[0].kind == UNDO else "wrote"
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(changes[0].time))
        lines.append(f"Run {run}, {when}: {what} {counted(len(changes), 'file')}.")
    return lines
