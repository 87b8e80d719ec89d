"""What was found out about files, kept on disk: sizes, hashes, whole or not.

Reading ten thousand pictures to find that none has changed takes minutes; asking for their times takes a second. A fact
holds as long as the file's times and length are the same. A file that was written just now is not trusted: a second
change within the clock's tick would not show (git's "racy" files). Nothing here is ever needed: what cannot be read is
found out again.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

FILE_NAME = "known.sqlite"
PATIENCE = 2.0
"""Seconds to wait for another process."""
JUST_NOW = 2_000_000_000
"""Nanoseconds: the coarsest clock of a file system (FAT)."""


class Stamp(NamedTuple):
    modified: int
    """Time of the last change of the content, in nanoseconds."""
    changed: int
    """The same, of rights and names too."""
    length: int
    """Bytes."""
    settled: bool
    """Whether a later change will show in these times; as of before the file is read, so that one meanwhile does."""


def stamp_of(stat: os.stat_result) -> Stamp:
    settled = time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > JUST_NOW
    return Stamp(stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, settled)


class Known:
    """Facts by kind and file. Safe to use from several threads and processes; no error of the database gets out."""

    def __init__(self, file: Path):
        self._file = file
        self._lock = threading.Lock()
        self._new: dict[tuple[str, bytes], tuple[str, str]] = {}
        self._database: sqlite3.Connection | None = None
        self._open()

    def get(self, kind: str, key: str, stamp: Stamp) -> str | None:
        with self._lock:
            if self._database is None:
                return None
            try:
                question = "SELECT stamp, value FROM facts WHERE kind = ? AND key = ?"
                found = self._database.execute(question, (kind, _bytes(key))).fetchone()
            except sqlite3.Error as error:
                self._give_up(error)
                return None
        return found[1] if found and found[0] == _text(stamp) else None

    def put(self, kind: str, key: str, stamp: Stamp, value: str, ours: bool = False) -> None:
        """`ours`: nobody else writes this file, so that it may be as new as it likes."""
        if self._database is not None and (ours or stamp.settled):
            self._new[kind, _bytes(key)] = (_text(stamp), value)

    def close(self) -> None:
        """Writes what is new."""
        with self._lock:
            if self._database is None:
                return
            rows = [(*name, *fact) for name, fact in self._new.items()]
            try:
                with self._database:
                    self._database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", rows)
                self._database.close()
            except sqlite3.Error as error:
                self._give_up(error)
            self._database = None

    def _open(self) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self._file, timeout=PATIENCE, check_same_thread=False)
            columns = "kind TEXT, key BLOB, stamp TEXT, value TEXT, PRIMARY KEY (kind, key)"
            self._database.execute(f"CREATE TABLE IF NOT EXISTS facts ({columns}) WITHOUT ROWID")
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """A broken database is removed, so that the next one is whole; a locked one is left alone."""
        log.warning("Danlu: %s is not used: %s", self._file, error)
        if self._database is not None:  # an open file cannot be removed on Windows
            with suppress(sqlite3.Error):
                self._database.close()
            self._database = None
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            with suppress(OSError):
                self._file.unlink(missing_ok=True)


class _Open(threading.local):
    """Those of this thread: a page may open a dataset while a node encodes one."""

    def __init__(self) -> None:
        self.stack: list[Known] = []


_open = _Open()


@contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """Within, and in this thread, facts are read from and kept in `folder`; elsewhere nothing is kept."""
    _open.stack.append(Known(folder / FILE_NAME))
    try:
        yield
    finally:
        _open.stack.pop().close()


def get(kind: str, key: str, stamp: Stamp) -> str | None:
    return _open.stack[-1].get(kind, key, stamp) if _open.stack else None


def put(kind: str, key: str, stamp: Stamp, value: str, ours: bool = False) -> None:
    if _open.stack:
        _open.stack[-1].put(kind, key, stamp, value, ours)


def _bytes(key: str) -> bytes:
    """Names of files need not be text."""
    return key.encode("utf-8", "surrogatepass")


def _text(stamp: Stamp) -> str:
    return f"{stamp.modified} {stamp.changed} {stamp.length}"
