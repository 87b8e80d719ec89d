"""Taking back what was saved, byte for byte; the undo is journaled, so that it can be taken back as well."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..dataset import paths
from ..dataset.files import sync_folder
from ..dataset.model import Dataset, counted, listed
from ..errors import DanluError
from .journal import UNDO, Entry, Journal, Watcher, encoded, new_run
from .places import Places, inside, is_text_name, places_of
from .plan import TABLE_BYTES
from .text_files import Untouchable, create, debris, overwrite, read_bytes, sha

BATCH = 64
"""Changes that are journaled together."""
SHOWN_RUNS = 8
NOTHING = "No captions were ever saved here."


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


@dataclass(frozen=True)
class LastRun:
    """What would be taken back first."""

    run: str
    time: float
    """Seconds since 1970."""
    count: int
    """Files."""


def undoable(folders: Sequence[Path]) -> LastRun | None:
    """What `undo_captions` without a name takes back; None: nothing."""
    journals = {folder: Journal(folder).entries() for folder in folders}
    run, _ = _last(journals)
    found = [entry for entries in journals.values() for entry in entries if entry.run == run and not entry.row]
    return LastRun(run, found[-1].time, len(found)) if found else None


def undo_captions(folders: Sequence[Path], run: str, apply: bool, watcher: Watcher) -> Undoing:
    """`run` "": what was saved last; undone already, nothing happens. Raises DanluError for a run that no folder has.

    Without `apply` it only says what would be done.
    """
    wanted, name = run.strip(), new_run()
    journals = {folder: Journal(folder).entries() for folder in folders}
    if wanted and not any(entry.run == wanted for entries in journals.values() for entry in entries):
        known = [line for entries in journals.values() for line in _runs(entries)]
        raise DanluError(f"The input 'run': there is no run {wanted!r}. {' '.join(known) or 'None was ever saved.'}")
    note = ""
    if not wanted:
        wanted, note = _last(journals)
    done = []
    for folder, entries in journals.items():
        if not apply or not entries:
            done.append(_Undo(folder, wanted, name, False, note).work(watcher))
            continue
        try:
            with Journal(folder).locked(watcher):
                done.append(_Undo(folder, wanted, name, True, note).work(watcher))
        except OSError as error:
            raise DanluError(
                f"Captions in {folder} cannot be restored ({error.strerror or error}). What was restored so far is "
                "whole, the rest is in the journal: mend this, and queue again."
            ) from error
    return Undoing(done)


def _last(journals: Mapping[Path, list[Entry]]) -> tuple[str, str]:
    """The newest run of all folders, or the one whose undo was interrupted; else "", and why."""
    last = max((entries[-1] for entries in journals.values() if entries), key=lambda entry: entry.time, default=None)
    if last is None:
        return "", NOTHING
    if last.kind != UNDO:
        return last.run, ""
    undone = last.undoes or ""
    if any(_is_there(folder, entry) for folder, found in journals.items() for entry in found if entry.run == undone):
        return undone, ""
    return "", (
        f"What was saved last is undone already (by run {last.run}, which undid {undone}). To go further back, or to "
        "undo the undo, name a run in 'run'."
    )


def _is_there(folder: Path, entry: Entry) -> bool:
    """Whether the file is as the change left it: nobody has taken it back."""
    if entry.row or not is_text_name(entry.file):
        return False
    try:
        now = read_bytes(inside(folder, entry.file), TABLE_BYTES)
    except (Untouchable, DanluError, OSError, ValueError):
        return False
    return (None if now is None else sha(now)) == entry.new


@dataclass(frozen=True)
class _Change:
    entry: Entry
    path: Path
    now: bytes | None
    old: bytes | None


class _Undo:
    def __init__(self, folder: Path, run: str, name: str, apply: bool, note: str) -> None:
        self.folder, self.name, self.apply = folder, name, apply
        self.journal = Journal(folder)
        self.entries = self.journal.entries()
        self.out = Undone(folder, apply, note=note if self.entries else NOTHING)
        self.run = run
        self.count = 0

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
        for start in range(0, len(files), BATCH):
            watcher.check_interrupt()
            batch = [change for entry in files[start : start + BATCH] if (change := self._change(entry))]
            if self.apply and batch:
                self._restore(batch, rows)
            watcher.progress(min(start + BATCH, len(files)), len(files))
        if self.out.applied and (self.out.restored or self.out.removed):
            self.out.undo = self.name
        return self.out

    def _change(self, entry: Entry) -> _Change | None:
        """What has to be done about a file; None: nothing, and why is told."""
        try:
            if not is_text_name(entry.file):
                raise Untouchable("no caption file")
            path, old = inside(self.folder, entry.file), entry.old_bytes()
            if (None if old is None else sha(old)) != entry.was:
                raise Untouchable("its line in the journal is broken")
            now = read_bytes(path, TABLE_BYTES)
            found = None if now is None else sha(now)
            if found not in (entry.was, entry.new):
                raise Untouchable("changed since")
        except (Untouchable, DanluError, ValueError) as error:
            self.out.left.append(f"{entry.file} ({error})")
            return None
        if found == entry.was:
            self.out.same += 1
            return None
        (self.out.removed if old is None else self.out.restored).append(entry.file)
        return _Change(entry, path, now, old)

    def _restore(self, batch: list[_Change], rows: Mapping[str, list[Entry]]) -> None:
        journaled = []
        for change in batch:
            journaled.append(self._taken_back(change.entry, encoded(change.now)))
            journaled += [self._taken_back(row, None) for row in rows.get(change.entry.file, [])]
        self.journal.append(journaled)
        folders = {change.path.parent for change in batch}
        for file in [file for folder in folders for file in debris(folder)]:
            file.unlink(missing_ok=True)
        for change in batch:
            if read_bytes(change.path, TABLE_BYTES) != change.now:
                self.out.left.append(f"{change.entry.file} (changed meanwhile)")
            elif change.old is None:
                change.path.unlink()
            elif change.now is None:
                create(change.path, change.old)
            else:
                overwrite(change.path, change.old)
        for folder in folders:
            sync_folder(folder)

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
