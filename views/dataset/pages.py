"""What a page shows of a dataset: the whole in one answer, its pictures in pieces. No picture is opened for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...captioning.places import Places
from ...captioning.texts import kind_of_all, tags_of
from ...captioning.undo import undoable
from ...dataset.aside import all_aside
from ...dataset.joining import labels
from ...dataset.listing import natural
from ...dataset.model import Picture
from ...errors import DanluError
from .editable import Editing
from .open import Opened, stamp
from .rereading import refresh

MOST = 200
"""Pictures in one answer."""
MOST_PICTURES = 10_000_000
"""That anybody has."""


@dataclass(frozen=True)
class Wanted:
    """Which pictures, in which order."""

    start: int = 0
    count: int = 100
    order: str = "given"
    search: str = ""
    """In names and captions; case makes no difference."""
    tag: str = ""
    """A whole tag of the caption."""
    only: str = "all"
    numbers: bool = False
    """With the numbers of all that match, for selections that are larger than a page."""


_ONLY: dict[str, Callable[[Opened, int], bool]] = {
    "all": lambda opened, n: True,
    "captioned": lambda opened, n: bool(opened.now[n].body),
    "uncaptioned": lambda opened, n: not opened.now[n].body,
    "changed": lambda opened, n: n in opened.changed,
    "pairs": lambda opened, n: bool(opened.now[n].befores),
    "masks": lambda opened, n: opened.now[n].mask is not None,
    "videos": lambda opened, n: opened.now[n].clip is not None,
    "train": lambda opened, n: opened.part(n).role == "train",
    "regularisation": lambda opened, n: opened.part(n).role == "regularisation",
    "validation": lambda opened, n: opened.part(n).role == "validation",
}
_ORDERS: dict[str, Callable[[Picture], Any]] = {
    "name": lambda p: natural(p.name),
    "size": lambda p: p.size[0] * p.size[1],
    "shape": lambda p: p.size[1] / p.size[0],
    "caption": lambda p: p.body.casefold(),
    "length": lambda p: len(p.body),
}


def summary(opened: Opened, places: Places) -> dict[str, Any]:
    """Of the whole dataset."""
    numbers = opened.numbers()
    pictures = [opened.now[n] for n in numbers]
    editing = Editing.of(opened, places)
    folders = [place.folder for place in editing.places if place.beside]
    return {
        "id": opened.id,
        "revision": opened.revision,
        "folders": [
            {
                "name": label,
                "path": str(part.folder),
                "role": part.role,
                "trigger": part.trigger,
                "class_word": part.class_word,
                "weight": part.weight,
                "count": sum(1 for n in numbers if opened.part_of[n] == number),
            }
            for number, (label, part) in enumerate(zip(labels(opened.parts), opened.parts, strict=True))
        ],
        "trigger": opened.parts[0].trigger,
        "count": len(pictures),
        "captioned": sum(1 for picture in pictures if picture.body),
        "kind": kind_of_all(picture.body for picture in pictures if picture.body),
        "report": [line for part in opened.parts for line in part.report.text().splitlines()],
        "has_pairs": any(picture.befores for picture in pictures),
        "has_masks": any(picture.mask for picture in pictures),
        "has_videos": any(picture.clip for picture in pictures),
        "changed": len(opened.changed - opened.dropped),
        "dropped": sum(len(all_aside(folder)) for folder in dict.fromkeys(part.folder for part in opened.parts)),
        "editable": not editing.why_not_at_all(),
        "why_not": editing.why_not_at_all(),
        "journal": _journal(folders),
    }


def _journal(folders: list[Path]) -> dict[str, Any] | None:
    found = undoable(folders)
    return {"run": found.run, "time": found.time, "count": found.count} if found else None


def page(opened: Opened, wanted: Wanted, places: Places) -> dict[str, Any]:
    """Some of the pictures. Raises DanluError for an order or a choice that there is not."""
    found = matching(opened, wanted)
    shown = found[wanted.start : wanted.start + min(wanted.count, MOST)]
    refresh(opened, shown)
    answer: dict[str, Any] = {
        "id": opened.id,
        "revision": opened.revision,
        "total": len(found),
        "from": wanted.start,
        "items": items(opened, shown, places),
    }
    return {**answer, "numbers": found} if wanted.numbers else answer


def matching(opened: Opened, wanted: Wanted) -> list[int]:
    """Numbers of the pictures, in order."""
    fits = _known("only", wanted.only, _ONLY)
    found = [n for n in opened.numbers() if fits(opened, n)]
    if wanted.search.strip():
        words = wanted.search.casefold().strip()
        found = [n for n in found if _holds(opened.now[n], words)]
    if wanted.tag.strip():
        tag = wanted.tag.casefold().strip()
        found = [n for n in found if tag in (each.casefold() for each in tags_of(opened.now[n].body))]
    name = wanted.order.removeprefix("-")
    if name != "given":
        key = _known("order", name, _ORDERS)
        found.sort(key=lambda n: key(opened.now[n]))
    return found[::-1] if wanted.order.startswith("-") else found


def _known(name: str, value: str, choices: dict[str, Any]) -> Any:
    if value not in choices:
        raise DanluError(f"{name} is {value!r}; it can be one of {', '.join(choices)}.")
    return choices[value]


def _holds(picture: Picture, words: str) -> bool:
    return any(words in text.casefold() for text in (picture.name, picture.body, picture.caption))


def items(opened: Opened, numbers: Iterable[int], places: Places) -> list[dict[str, Any]]:
    editing = Editing.of(opened, places)
    return [item(opened, n, editing) for n in numbers]


def item(opened: Opened, n: int, editing: Editing) -> dict[str, Any]:
    """One picture."""
    picture, part = opened.now[n], opened.part(n)
    why_not = editing.why_not(opened, n)
    found = stamp(picture.path)
    return {
        "n": n,
        "name": picture.name,
        "folder": opened.part_of[n],
        "size": list(picture.size),
        "body": picture.body,
        "caption": picture.caption,
        "before_body": picture.before_body,
        "role": part.role,
        "trigger": part.trigger,
        "repeats": picture.repeats,
        "captioner": picture.captioner,
        "has_mask": picture.mask is not None,
        "befores": len(picture.befores),
        "video": {"frames": picture.clip.frames, "fps": picture.clip.fps} if picture.clip else None,
        "bytes": found[1] if found else 0,
        "missing": found is None,
        "version": version(picture),
        "text_file": picture.text_file.name if picture.text_file else None,
        "changed": n in opened.changed,
        "editable": not why_not,
        "why_not": why_not,
    }


def version(picture: Picture) -> str:
    """Another one when a file that is shown has changed."""
    files = dict.fromkeys((picture.path, *([picture.mask] if picture.mask else []), *picture.befores))
    return "-".join(f"{found[0]:x}.{found[1]:x}" if (found := stamp(file)) else "0" for file in files)
