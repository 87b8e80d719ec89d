"""Which files are in a folder."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from ..errors import DanluError
from .archive import hidden
from .captions import CAPTION_SUFFIXES, METADATA_SUFFIXES
from .files import shown
from .images import IMAGE_SUFFIXES, VIDEO_SUFFIXES

REPEATS_FOLDER = re.compile(r"^(\d{1,9})_(.*)$")
PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
OTHER_PICTURES = (
    *(".heic", ".heif", ".jxl", ".jp2", ".svg", ".psd", ".tga", ".exr", ".hdr"),
    *(".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".wmv", ".flv", ".mpg", ".mpeg", ".ts"),
)
"""Pictures and videos that are not read: the user should hear of them."""
WANTED = (*PICTURE_SUFFIXES, *CAPTION_SUFFIXES, *METADATA_SUFFIXES, *OTHER_PICTURES)


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

    @cached_property
    def exact_stem(self) -> str:
        """The name without its suffix."""
        return str(PurePosixPath(self.name).with_suffix(""))

    @cached_property
    def stem(self) -> str:
        """What a picture and its caption have in common: see `folded`."""
        return folded(self.exact_stem)


def folded(name: str) -> str:
    """Equal for names that differ in case, or in how a Mac writes é: both happen when files are copied about."""
    return name.casefold() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def bare(stem: str) -> str:
    """A stem without the folders that it is in."""
    return stem.rpartition("/")[2]


def by_bare_name(files: Sequence[FoundFile]) -> dict[str, FoundFile]:
    """Files by name alone, where only one has that name: what belongs together often lies in differing folders."""
    lone = lone_names(file.stem for file in files)
    return {name: file for file in files if (name := bare(file.stem)) in lone}


def lone_names(stems: Iterable[str]) -> set[str]:
    """The bare names that are there once."""
    return {name for name, count in Counter(map(bare, stems)).items() if count == 1}


def list_files(folder: Path, recursive: bool) -> list[FoundFile]:
    """Pictures, videos and files with captions in natural order. Folders named like 10_cat are always read.

    A folder that several links lead to is read once. Raises DanluError for a folder that may not be read.
    """
    try:
        found = [file for file in _walk(folder, PurePosixPath(), 1, recursive, set()) if file.suffix in WANTED]
    except PermissionError as error:
        raise DanluError(
            f"The input 'folder': {shown(str(error.filename))} may not be read. Give ComfyUI's user access to it."
        ) from error
    return sorted(found, key=lambda file: natural(file.name))


def pictures_below(folder: Path) -> Iterator[tuple[str, int]]:
    """Folders directly in this one that are read with `recursive` only: name, and how many pictures are in it."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if not _is_folder(entry) or hidden(PurePosixPath(entry.name)) or REPEATS_FOLDER.match(entry.name):
            continue
        try:
            with os.scandir(entry.path) as inside:
                count = sum(1 for file in inside if os.path.splitext(file.name)[1].lower() in PICTURE_SUFFIXES)
        except OSError:
            continue
        if count:
            yield entry.name, count


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts 2.png before 10.png."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(part), "") if part.isdecimal() and len(part) < 1000 else (1, 0, part) for part in parts if part]


def _walk(folder: Path, below: PurePosixPath, repeats: int, recursive: bool, seen: set[str]) -> Iterator[FoundFile]:
    real = os.path.realpath(folder)
    if real in seen:  # a link that leads back up, or to a folder that was read
        return
    seen.add(real)
    with os.scandir(folder) as entries:
        # What is really here goes before links to it, whatever order the file system has.
        ordered = sorted(entries, key=lambda entry: (entry.is_symlink(), entry.name))
    for entry in ordered:
        name = below / entry.name
        if hidden(PurePosixPath(entry.name)):
            continue
        if not _is_folder(entry):
            yield FoundFile(Path(entry.path), str(name), repeats)
            continue
        match = REPEATS_FOLDER.match(entry.name)
        if match or recursive:
            inner = int(match[1]) if match else repeats
            yield from _walk(Path(entry.path), name, inner, recursive, seen)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False
