"""What Danlu has done to the texts of a folder: `.captions/journal.jsonl`, one line for each change, before it.

A line holds the old bytes of the file, so that any change can be taken back, and what the new text was made of, so
that it can be composed anew without a captioner. Nothing is ever removed from it. It may come from a stranger:
what it says is checked where it is used.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

from ..dataset.files import sync_folder
from ..errors import DanluError
from .text_files import BINARY, sha

FOLDER = ".captions"
WRITE, UNDO = "write", "undo"
LAST_TIME = 1e10
"""Seconds since 1970, in the year 2286: some systems know no later day."""


class Watcher(Protocol):
    """Who looks on; a node's reporter."""

    def text(self, text: str) -> None: ...
    def progress(self, done: int, total: int) -> None: ...
    def check_interrupt(self) -> None: ...


@dataclass(frozen=True)
class Entry:
    """One change of a file, or of one row of a table."""

    id: str
    run: str
    kind: str
    time: float
    file: str
    """Below the folder, with forward slashes."""
    row: str = ""
    """The picture that a row of a table is about."""
    was: str | None = None
    """Hash of the text before; None: there was none."""
    new: str | None = None
    """Hash of the text afterwards; None: there is none."""
    old: str | None = None
    """The file's bytes before, base64; of rows: nothing, their table has them."""
    before: str | None = None
    """The change that made the old text; None: the user did."""
    owner: str | None = None
    """The change that made the new text: this one, or of an undo the one whose text is back; None: the user."""
    undoes: str | None = None
    """The run that this one takes back."""
    body: str = ""
    before_body: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    captioner: str = ""
    seed: int | None = None
    keeps: bool = False
    """The new text holds one of the user's, to which ours was added."""

    def old_bytes(self) -> bytes | None:
        """Raises ValueError where the line is broken."""
        try:
            return None if self.old is None else base64.b64decode(self.old, validate=True)
        except binascii.Error as error:
            raise ValueError(str(error)) from error


_PLAIN = {f.name: f.default for f in fields(Entry) if f.name != "parts"}
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "run", "kind", "file", "row", "body", "before_body", "captioner"), (str,)),
    **dict.fromkeys(("was", "new", "old", "before", "owner", "undoes"), (str, type(None))),
    "time": (int, float),
    "seed": (int, type(None)),
    "keeps": (bool,),
}


def encoded(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode("ascii")


class Journal:
    """The journal of one folder; the folder need not have one yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / FOLDER / "journal.jsonl"

    def entries(self) -> list[Entry]:
        """Oldest first; lines that are torn or no entries are left out."""
        if not self.path.exists() or not self._is_plain():
            return []
        with self.path.open("rb") as file:
            return [entry for line in file if (entry := _entry(line)) is not None]

    def append(self, entries: Iterable[Entry]) -> None:
        """Is on the disk when this returns."""
        lines = "".join(json.dumps(_as_json(entry), ensure_ascii=True) + "\n" for entry in entries)
        self.prepare()
        fresh = not self.path.exists()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | BINARY | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(self.path, flags, 0o666), "r+b") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a line that a crash cut short
                    lines = "\n" + lines
            file.write(lines.encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
        if fresh:
            sync_folder(self.path.parent)
            sync_folder(self.folder)

    def prepare(self) -> None:
        """Makes its folder; raises DanluError where something else is in its place."""
        home = self.path.parent
        home.mkdir(exist_ok=True)
        if home.is_symlink() or not self._is_plain():
            raise DanluError(
                f"{home} or the journal in it is a link, which is never followed. Remove it, and save again."
            )

    def _is_plain(self) -> bool:
        """No links: whoever made the folder does not choose where we read and write."""
        home = self.path.parent
        if home.is_symlink() or not home.is_dir():
            return not home.exists() and not home.is_symlink()
        for name in (self.path.name, "lock"):
            try:
                if not stat.S_ISREG(os.lstat(home / name).st_mode):
                    return False
            except FileNotFoundError:
                continue
        return True

    @contextmanager
    def locked(self, watcher: Watcher) -> Iterator[None]:
        """Nobody else writes here for the time of the context; waits, interruptibly, while somebody does."""
        from filelock import FileLock, Timeout

        self.prepare()
        lock = FileLock(self.path.parent / "lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            watcher.text(f"Another ComfyUI writes captions to {self.folder}: waiting until it has ended.")
            while True:
                watcher.check_interrupt()
                try:
                    lock.acquire(timeout=0.2)
                    break
                except Timeout:
                    continue
        try:
            yield
        finally:
            lock.release()


class History:
    """What the journal says of the texts as they are now."""

    def __init__(self, folder: Path, entries: Iterable[Entry] | None = None) -> None:
        self._by_id: dict[str, Entry] = {}
        self._last: dict[tuple[str, str], Entry] = {}
        for entry in Journal(folder).entries() if entries is None else entries:
            self._by_id[entry.id] = entry
            self._last[entry.file, entry.row] = entry

    def __bool__(self) -> bool:
        return bool(self._last)

    def owner(self, file: str, text: bytes | None, row: str = "") -> Entry | None:
        """The change that made the text, or made the one that the user has edited; None: never one of ours.

        A change that a crash kept from happening has left the text as it was.
        """
        found = sha(text) if text is not None else None
        entry = self._last.get((file, row))
        for _ in range(len(self._by_id)):  # a forged journal may go in circles
            if entry is None or found == entry.new or found != entry.was:
                break
            entry = self._by_id.get(entry.before or "")
        if entry is None or entry.kind == WRITE:
            return entry
        return self._by_id.get(entry.owner or "")


def is_ours(entry: Entry | None, text: bytes | None) -> bool:
    return entry is not None and text is not None and entry.new == sha(text)


def new_run() -> str:
    """A name that sorts by time and is nobody else's."""
    return time.strftime("%Y%m%d-%H%M%S-") + os.urandom(3).hex()


def _as_json(entry: Entry) -> dict[str, Any]:
    found = {name: value for name, value in vars(entry).items() if name != "parts" and value != _PLAIN[name]}
    return {**found, **({"parts": entry.parts} if entry.parts else {})}


def _entry(line: bytes) -> Entry | None:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or values.get("kind") not in (WRITE, UNDO):
        return None
    known = {name: values[name] for name in _TYPES if name in values}
    if not all(isinstance(value, _TYPES[name]) for name, value in known.items()):
        return None
    if not 0 <= known.get("time", 0) <= LAST_TIME:
        return None
    parts = values.get("parts")
    texts = {k: v for k, v in parts.items() if isinstance(v, str)} if isinstance(parts, dict) else {}
    try:
        return Entry(**known, parts=texts)
    except TypeError:  # id, run, time or file are missing
        return None
