"""Which files are in a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import DanluError
from .archive import hidden
from .captions import CAPTION_SUFFIXES
from .images import IMAGE_SUFFIXES

REPEATS_FOLDER = re.compile(r"^(\d+)_(.*)$")


@dataclass(frozen=True)
class FoundFile:
    path: Path
    name: str
    """Path below the dataset's folder, with forward slashes."""
    repeats: int
    """From a folder named like 10_cat; 1 elsewhere."""

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()

    @property
    def stem(self) -> str:
        """What a picture and its caption have in common."""
        return str(PurePosixPath(self.name).with_suffix("")).casefold()


def list_files(folder: Path, recursive: bool) -> list[FoundFile]:
    """Pictures and caption files in natural order. Folders named like 10_cat are always read."""
    wanted = (*IMAGE_SUFFIXES, *CAPTION_SUFFIXES)
    try:
        found = [file for file in _walk(folder, PurePosixPath(), 1, recursive) if file.suffix in wanted]
    except PermissionError as error:
        raise DanluError(
            f"The input 'folder': {error.filename} may not be read. Give ComfyUI's user access to it."
        ) from error
    return sorted(found, key=lambda file: natural(file.name))


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts 2.png before 10.png."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def _walk(
    folder: Path, below: PurePosixPath, repeats: int, recursive: bool, seen: frozenset[str] = frozenset()
) -> Iterator[FoundFile]:
    real = os.path.realpath(folder)
    if real in seen:  # a link that leads back up
        return
    for entry in os.scandir(folder):
        name = below / entry.name
        if hidden(PurePosixPath(entry.name)):
            continue
        if not entry.is_dir():
            yield FoundFile(Path(entry.path), str(name), repeats)
            continue
        match = REPEATS_FOLDER.match(entry.name)
        if match or recursive:
            inner = int(match[1]) if match else repeats
            yield from _walk(Path(entry.path), name, inner, recursive, seen | {real})
