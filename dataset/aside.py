"""Files that are taken out of a dataset and kept: moved aside within their folder, and back.

A file `a/b.png` goes to `.danlu/dropped/ID/a/b.png` in the same folder, where no dataset is read from. Its place
says where it came from, so that nothing but the folder itself is needed to bring it back, by hand if need be.

What goes together is listed in `.danlu/dropped/ID/files.json`, which is on the disk before the first file is moved:
whatever a crash interrupts, each file is in one of two places. That list may come from a stranger: it can only bring
back what lies aside in the very folder it goes to.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import DanluError
from .files import shown, sync_folder
from .model import listed

HOME = (".danlu", "dropped")
LIST = "files.json"
ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}(?:-\d{1,6})?")
MOST_FILES = 16
"""A picture, its caption, its mask and its befores; more is none of our lists."""
MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Aside:
    """What was taken out together: a picture, and what belongs to it alone."""

    id: str
    folder: Path
    """Of the dataset."""
    name: str
    """The picture's, below the folder."""
    time: float
    files: tuple[tuple[Path, PurePosixPath], ...]
    """(folder, name below it); the picture first."""
    about: dict[str, Any]
    """What was known of the picture."""

    def moves(self) -> Iterator[tuple[Path, Path]]:
        """(where it belongs, where it lies)"""
        for folder, name in self.files:
            yield folder / name, _home(folder) / self.id / name

    @property
    def picture(self) -> Path:
        """Where it lies."""
        return next(self.moves())[1]


def check(found: Aside) -> None:
    """Raises DanluError where a file is not really in its folder, or its place aside is not."""
    for folder, name in found.files:
        _check(folder, name, found.id)


def put_aside(found: Aside) -> None:
    """Raises DanluError where a link leads elsewhere, or the disk refuses; what is moved then is in the list."""
    check(found)
    home = _home(found.folder) / found.id
    try:
        home.mkdir(parents=True)
        _write(home / LIST, found)
        for path in (home, home.parent, home.parent.parent):
            sync_folder(path)
        for source, target in found.moves():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(source, target)
    except OSError as error:
        raise DanluError(
            f"{shown(found.name)} cannot be moved aside ({error.strerror or error}). Give ComfyUI's user the right to "
            f"write in {found.folder}; what was moved is in {home}."
        ) from error


def put_back(found: Aside) -> None:
    """Raises DanluError, and moves nothing, where another file is in one of the places by now."""
    check(found)
    moves = [(there, aside) for there, aside in found.moves() if os.path.lexists(aside)]
    taken = [shown(there.name) for there, _ in moves if os.path.lexists(there)]
    if taken:
        raise DanluError(
            f"{shown(found.name)} is not restored: there is another {listed(taken)} by now. Rename or move that one."
        )
    try:
        for there, aside in moves:
            there.parent.mkdir(parents=True, exist_ok=True)
            _move_to_free(aside, there)
        _remove(found)
    except FileExistsError as error:
        raise DanluError(f"{shown(found.name)} is not restored as a whole: a file has just appeared there.") from error
    except OSError as error:
        raise DanluError(f"{shown(found.name)} cannot be restored: {error.strerror or error}.") from error


def all_aside(folder: Path) -> list[Aside]:
    """What was taken out of a dataset, the newest first; what is back or no list of ours is left out."""
    home = _home(folder)
    if not _is_plain(folder) or not home.is_dir():
        return []
    names = sorted(entry.name for entry in os.scandir(home) if ID.fullmatch(entry.name))
    read = [each for name in names if (each := _read(folder, name)) is not None]
    found = [each for each in read if any(os.path.lexists(aside) for _, aside in each.moves())]
    return sorted(found, key=lambda each: each.time, reverse=True)


def new_ids(count: int) -> list[str]:
    """Names that are nobody else's."""
    base = time.strftime("%Y%m%d-%H%M%S-") + os.urandom(3).hex()
    return [f"{base}-{number}" for number in range(count)]


def _home(folder: Path) -> Path:
    return folder.joinpath(*HOME)


def _is_plain(folder: Path) -> bool:
    """Whoever has made the folder does not choose where we move files."""
    return not any(folder.joinpath(*HOME[:depth]).is_symlink() for depth in (1, 2))


def _check(folder: Path, name: PurePosixPath, drop: str) -> None:
    plain = not name.is_absolute() and name.parts and not any(p in ("..", ".") or "\0" in p for p in name.parts)
    if not plain or (os.name == "nt" and re.search(r"[:\\]", str(name))):
        raise DanluError(f"{shown(str(name))} is no file below {folder}. Nothing was moved.")
    root, places = folder.resolve(), (folder / name, _home(folder) / drop / name)
    if not _is_plain(folder) or not all(place.parent.resolve().is_relative_to(root) for place in places):
        raise DanluError(f"{shown(str(name))} is behind a link that leads out of {folder}. Nothing was moved.")


def _move_to_free(source: Path, target: Path) -> None:
    """Raises FileExistsError rather than overwrite."""
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # a file system without links
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(source, target)
        return
    os.unlink(source)


def _write(path: Path, found: Aside) -> None:
    values = {
        "name": found.name,
        "time": found.time,
        "files": [[_seen_from(found.folder, folder), name.as_posix()] for folder, name in found.files],
        "about": found.about,
    }
    with path.open("x", encoding="ascii") as file:
        json.dump(values, file)
        file.flush()
        os.fsync(file.fileno())


def _seen_from(folder: Path, other: Path) -> str:
    """Relative, so that folders may be moved together."""
    try:
        return os.path.relpath(other, folder)
    except ValueError:  # another drive
        return str(other)


def _read(folder: Path, name: str) -> Aside | None:
    path = _home(folder) / name / LIST
    try:
        if path.is_symlink() or path.parent.is_symlink() or path.stat().st_size > MOST_BYTES:
            return None
        values = json.loads(path.read_bytes())
        files = tuple(
            (Path(os.path.normpath(folder / str(where))), PurePosixPath(str(file)))
            for where, file in values["files"][:MOST_FILES]
        )
        about = values.get("about")
        for where, file in files:
            _check(where, file, name)
        known, when = about if isinstance(about, dict) else {}, float(values["time"])
        if not files or not math.isfinite(when):
            return None
        return Aside(name, folder, str(values["name"]), when, files, known)
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):  # DanluError is a ValueError
        return None


def _remove(found: Aside) -> None:
    """The folders that are empty now."""
    (_home(found.folder) / found.id / LIST).unlink(missing_ok=True)
    for folder in dict.fromkeys(folder for folder, _ in found.files):
        home = _home(folder) / found.id
        for path in sorted((path for path in home.rglob("*") if path.is_dir()), reverse=True):
            _remove_empty(path)
        for path in (home, home.parent, home.parent.parent):
            _remove_empty(path)


def _remove_empty(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:  # something else is in there
        return
