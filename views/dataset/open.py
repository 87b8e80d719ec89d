"""The datasets that pages may ask for: those that nodes have given, as they were given and as they are now.

A page names a dataset by an id that follows from its content. Edits change what is kept here, never what a node has
given: its graph sees them when it runs again.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...dataset.listing import folded
from ...dataset.model import Dataset, Picture
from ..errors import Busy, NotFound

KEPT = 32
"""Datasets; the one that nobody has asked for the longest goes first."""
PATIENCE = 10.0
"""Seconds to wait for somebody else who changes the same."""
Stamp = tuple[int, int]
"""Time of the last change in nanoseconds, and length, of a file."""


@dataclass
class Opened:
    """One dataset. Pictures are called by their number `n`, from 0 over all parts, which stays for good."""

    id: str
    parts: tuple[Dataset, ...]
    """As the node gave them."""
    part_of: tuple[int, ...]
    given: tuple[Picture, ...]
    now: tuple[Picture, ...]
    stamps: dict[Path, Stamp | None]
    """Of the caption files that the texts are from, or would be, when they were read."""
    by_path: dict[Path, tuple[int, ...]]
    """Every number of a file: it may be in several joined datasets."""
    twins: frozenset[int] = frozenset()
    """Pictures that share a caption file with another: cat.png and cat.jpg."""
    changed: frozenset[int] = frozenset()
    """Edited from a page since the node gave them."""
    originals: dict[int, str | None] = field(default_factory=dict)
    """What the files of those held before."""
    dropped: frozenset[int] = frozenset()
    revision: int = 0
    """Goes up with each change."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    """Held while something is changed."""

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Nobody else changes it for the time of the context. Raises Busy where somebody takes long: requests wait in
        threads that all share."""
        if not self.lock.acquire(timeout=PATIENCE):
            raise Busy("This dataset is being changed. Try again in a moment.")
        try:
            yield
        finally:
            self.lock.release()

    def numbers(self) -> list[int]:
        """Of the pictures that are there."""
        return [n for n in range(len(self.now)) if n not in self.dropped]

    def place(self, n: int) -> int:
        """Where a picture stands among those that are there."""
        try:
            return self.numbers().index(n)
        except ValueError:
            raise NotFound(f"there is no picture {n}, or it was dropped") from None

    def picture(self, n: int) -> Picture:
        if not 0 <= n < len(self.now):
            raise NotFound(f"there is no picture {n}; there are {len(self.now)}, counted from 0")
        return self.now[n]

    def part(self, n: int) -> Dataset:
        return self.parts[self.part_of[n]]

    def dataset(self, only: frozenset[int] | None = None) -> Dataset:
        """As it is now; `only`: with these pictures alone."""
        wanted = [n for n in self.numbers() if only is None or n in only]
        inside: list[list[Picture]] = [[] for _ in self.parts]
        for n in wanted:
            inside[self.part_of[n]].append(self.now[n])
        first, *others = (replace(p, pictures=tuple(i)) for p, i in zip(self.parts, inside, strict=True))
        return replace(first, joined=tuple(others))

    def put(self, pictures: dict[int, Picture]) -> None:
        self.now = tuple(pictures.get(n, picture) for n, picture in enumerate(self.now))
        self.revision += 1


class Store:
    """Safe to use from several threads."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._found: OrderedDict[str, Opened] = OrderedDict()

    def put(self, dataset: Dataset) -> Opened:
        """What was edited under the same id is forgotten: the node has read everything anew."""
        found = _opened(dataset)
        with self._lock:
            self._found[found.id] = found
            self._found.move_to_end(found.id)
            while len(self._found) > self._kept:
                self._found.popitem(last=False)
        return found

    def get(self, name: str) -> Opened:
        with self._lock:
            found = self._found.get(name)
            if found is not None:
                self._found.move_to_end(name)
        if found is None:
            raise NotFound("This dataset is not open any more. Run the node that gives it again.")
        return found


store = Store()


def identity(dataset: Dataset) -> str:
    """The same for the same folders, pictures and texts."""
    digest = hashlib.sha256()
    for part in dataset.parts():
        about = (str(part.folder), part.trigger, part.role, part.class_word, part.weight)
        digest.update(repr(about).encode("utf-8", "surrogatepass"))
        for p in part.pictures:
            texts = (p.caption, p.body, p.before_body, p.captioner, p.parts)
            line = (p.path, p.size, p.repeats, p.mask, p.text_file, p.befores, texts)
            digest.update(repr(line).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def stamp(path: Path) -> Stamp | None:
    """None: there is no such file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size


def _opened(dataset: Dataset) -> Opened:
    parts = dataset.parts()
    owners = tuple(number for number, part in enumerate(parts) for _ in part.pictures)
    pictures = tuple(picture for part in parts for picture in part.pictures)
    stamps = {file: stamp(file) for file in dict.fromkeys(map(text_file_of, pictures))}
    by_path: dict[Path, tuple[int, ...]] = {}
    for n, picture in enumerate(pictures):
        by_path[picture.path] = (*by_path.get(picture.path, ()), n)
    return Opened(identity(dataset), parts, owners, pictures, pictures, stamps, by_path, _twins(pictures))


def text_file_of(picture: Picture) -> Path:
    """Where its text is, or would be read from."""
    return picture.text_file or picture.path.with_suffix(".txt")


def _twins(pictures: tuple[Picture, ...]) -> frozenset[int]:
    names: dict[tuple[Path, str], set[Path]] = {}
    keys = [(picture.path.parent, folded(picture.path.stem)) for picture in pictures]
    for key, picture in zip(keys, pictures, strict=True):
        names.setdefault(key, set()).add(picture.path)
    return frozenset(n for n, key in enumerate(keys) if len(names[key]) > 1)
