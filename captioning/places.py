"""Which folder the captions of a dataset are written to, and nowhere else."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..dataset.model import Dataset
from ..errors import DanluError

TEXT_SUFFIXES = (".txt", ".caption")
TABLES = ("metadata.csv", "metadata.jsonl")

_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f]')
_RESERVED = re.compile(r"(CON|PRN|AUX|NUL|COM\d|LPT\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Places:
    """Folders of the host."""

    output: Path
    unseen: tuple[Path, ...] = ()
    """What is written beside pictures below these (unpacked archives, temporary files), no user would find."""


@dataclass(frozen=True)
class Place:
    """Where one dataset's captions go."""

    folder: Path
    beside: bool
    """Its pictures are there too."""
    note: str = ""


def below(output: Path, text: str) -> Path:
    """A folder below `output`; raises DanluError for everything else."""
    parts = [part.strip() for part in re.split(r"[/\\]", text.strip()) if part.strip() not in ("", ".")]
    wrong = text.strip().startswith(("/", "\\", "~")) or any(
        part == ".." or _FORBIDDEN.search(part) or _RESERVED.fullmatch(part) or part.endswith(".") or part[0] == "."
        for part in parts
    )
    folder = output.joinpath(*parts)
    if wrong or not folder.resolve().is_relative_to(output.resolve()):
        raise DanluError(
            f"The input 'folder' is {text!r}: it must be a plain name, or names with slashes between them, of a folder "
            f"below {output}. Leave it empty to write beside the pictures."
        )
    return folder


def places_of(dataset: Dataset, folder: str, places: Places) -> list[Place]:
    """One for each of `dataset.parts()`."""
    found: list[Place] = []
    taken: dict[Path, Path] = {}
    parts = dataset.parts()
    for part in parts:
        own = part.folder.resolve()
        hidden = _below_unseen(own, places)
        if not folder.strip() and not hidden:
            found.append(Place(part.folder, True))
            continue
        root = below(places.output, folder or "danlu/captions")
        if hidden and not folder.strip():
            home = root.joinpath(*map(_name, hidden))
        else:
            home = root / _name(part.folder.name) if len(parts) > 1 else root
        number = 2
        while taken.get(home, part.folder) != part.folder:
            home, number = home.with_name(f"{_name(part.folder.name)}-{number}"), number + 1
        taken[home] = part.folder
        note = f"The pictures are in a folder that only Danlu uses, so their captions go to {home}." if hidden else ""
        found.append(Place(below(places.output, home.relative_to(places.output).as_posix()), False, note))
    return found


def inside(folder: Path, name: str, known: set[Path] | None = None) -> Path:
    """The file `name` below `folder`; raises DanluError where it is none, or a folder on the way is a link outside.

    `known`: folders that were looked at a moment ago; more are added.
    """
    parts = PurePosixPath(name).parts
    bad = not parts or PurePosixPath(name).is_absolute() or any(p in ("..", "") or "\0" in p for p in parts)
    if bad or os.name == "nt" and re.search(r"[:\\]", name):
        raise DanluError(f"{name!r} is no file below {folder}. Nothing was written there.")
    path = folder.joinpath(*parts)
    if known is not None and path.parent in known:
        return path
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise DanluError(
            f"{path.parent} is a link that leads out of {folder}. Load the folder that it leads to as a dataset of its "
            "own, or write to a folder below output."
        )
    if known is not None:
        known.add(path.parent)
    return path


def is_text_name(name: str) -> bool:
    """Whether it is a kind of file that captions are written to."""
    path = PurePosixPath(name)
    return path.suffix.lower() in TEXT_SUFFIXES or path.name in TABLES


def _below_unseen(folder: Path, places: Places) -> tuple[str, ...]:
    """Names of the folders that lead to it: its own is often "dataset" only, as in other archives."""
    roots = [root.resolve() for root in places.unseen]
    return next((folder.relative_to(root).parts or (root.name,) for root in roots if folder.is_relative_to(root)), ())


def _name(name: str) -> str:
    clean = _FORBIDDEN.sub("_", name).strip(" .") or "captions"
    return f"_{clean}" if _RESERVED.fullmatch(clean) else clean
