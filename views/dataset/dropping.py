"""Pictures that somebody does not want to train on: moved aside with what belongs to them, and back."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ...captioning.places import TEXT_SUFFIXES, Places
from ...dataset.aside import Aside, all_aside, check, new_ids, put_aside, put_back
from ...dataset.model import Picture
from ...errors import DanluError
from ..errors import NotFound
from .editable import Editing, is_own
from .looks import Shown, small
from .open import Opened
from .pages import summary

MOST = 10_000
"""Pictures at a time."""


def drop(opened: Opened, numbers: Sequence[int], places: Places) -> dict[str, Any]:
    """Raises DanluError, and moves nothing, where one of them cannot be moved."""
    if len(numbers) > MOST:
        raise DanluError(f"More than {MOST:,} pictures at a time are not moved.")
    with opened.changing():
        editing = Editing.of(opened, places)
        wanted = _with_doubles(opened, numbers)
        for n in wanted:
            if not editing.places[opened.part_of[n]].beside:
                raise DanluError(f"{opened.now[n].name} cannot be moved aside: its folder is one that only Danlu uses.")
        found = _asides(opened, wanted)
        for _, each in found:
            check(each)
        for n, each in found:
            put_aside(each)
            opened.dropped |= frozenset(opened.by_path[opened.now[n].path])
            opened.revision += 1
        return {"dropped": [_told(opened, each) for _, each in found], "dataset": summary(opened, places)}


def restore(opened: Opened, names: Sequence[str], places: Places) -> dict[str, Any]:
    """`names`: keys of what was dropped, or names of pictures, of which the newest counts."""
    with opened.changing():
        known = _known(opened)
        found = [_named(known, name) for name in dict.fromkeys(names)]
        numbers: set[int] = set()
        for each in found:
            put_back(each)
            numbers |= opened.dropped.intersection(_numbers(opened, each))
            opened.dropped -= numbers
            opened.revision += 1
        missing = [each.name for each in found if not _numbers(opened, each)]
        return {
            "restored": [each.name for each in found],
            "numbers": sorted(numbers),
            "not_in_dataset": missing,
            "dataset": summary(opened, places),
        }


def dropped(opened: Opened) -> dict[str, Any]:
    """The newest first."""
    return {"id": opened.id, "items": [_told(opened, each) for each in _known(opened)]}


def dropped_thumbnail(opened: Opened, key: str, side: int) -> Shown:
    found = _named(_known(opened), key)
    return small(Picture(found.picture, found.name, (0, 0), "", 1), side)


def _known(opened: Opened) -> list[Aside]:
    folders = dict.fromkeys(part.folder for part in opened.parts)
    return sorted((each for folder in folders for each in all_aside(folder)), key=lambda each: each.time, reverse=True)


def _named(known: Sequence[Aside], name: str) -> Aside:
    found = next((each for each in known if name in (each.id, each.name)), None)
    if found is None:
        raise NotFound(f"{name[:80]!r} was not dropped, or is back already")
    return found


def _numbers(opened: Opened, found: Aside) -> tuple[int, ...]:
    return opened.by_path.get(found.folder / found.name, ())


def _told(opened: Opened, found: Aside) -> dict[str, Any]:
    body, size = found.about.get("body"), found.about.get("size")
    return {
        "key": found.id,
        "name": found.name,
        "folder": found.folder.name,
        "time": found.time,
        "body": body if isinstance(body, str) else "",
        "size": size if isinstance(size, list) and all(isinstance(side, int) for side in size) else None,
        "files": [name.as_posix() for _, name in found.files],
        "n": next(iter(_numbers(opened, found)), None),
    }


def _with_doubles(opened: Opened, numbers: Sequence[int]) -> list[int]:
    """With those of the same file: it can be in several joined datasets. Without what is dropped already."""
    found = {same for n in numbers for same in opened.by_path[opened.picture(n).path]}
    return sorted(found - opened.dropped)


def _asides(opened: Opened, wanted: Sequence[int]) -> list[tuple[int, Aside]]:
    """What goes together with each picture: what no picture that stays needs, once."""
    going = set(wanted)
    needed = Counter(file for n in opened.numbers() if n not in going for file in _belongings(opened.now[n]))
    taken: set[Path] = set()
    found: list[tuple[int, Aside]] = []
    ids, now = new_ids(len(wanted)), time.time()
    for n in wanted:
        picture, folder = opened.now[n], opened.part(n).folder
        if picture.path in taken:
            continue
        files = [file for file in _belongings(picture) if file not in taken and not needed[file]]
        taken.update((picture.path, *files))
        places = ((file.parent, PurePosixPath(file.name)) for file in files)
        if not os.path.lexists(picture.path):
            raise NotFound(f"{picture.name} is not there any more")
        name = _below(picture, folder)
        about = {"body": picture.body, "size": list(picture.size)}
        every = ((folder, name), *places)
        found.append((n, Aside(ids[len(found)], folder, name.as_posix(), now, every, about)))
    return found


def _belongings(picture: Picture) -> list[Path]:
    """Files beside the picture's own: caption, mask, befores."""
    texts = [picture.text_file] if picture.text_file and is_own(picture) else []
    texts += [file for suffix in TEXT_SUFFIXES if (file := picture.path.with_suffix(suffix)).is_file()]
    mask = [picture.mask] if picture.mask and picture.mask != picture.path else []
    return [file for file in dict.fromkeys((*texts, *mask, *picture.befores)) if os.path.lexists(file)]


def _below(picture: Picture, folder: Path) -> PurePosixPath:
    if not picture.path.is_relative_to(folder):
        raise DanluError(f"{picture.name} is not in {folder}, so it cannot be moved aside.")
    return PurePosixPath(picture.path.relative_to(folder).as_posix())
