"""What an opened dataset says when its caption files say something else than the node has read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path

from ...captioning.compose import Recipe
from ...captioning.compose_set import compose_dataset
from ...captioning.places import TABLES, TEXT_SUFFIXES
from ...captioning.tables import Table
from ...captioning.text_files import Untouchable
from ...captioning.texts import kind_of_all
from ...dataset.captions import UnreadableCaption, cut, one_line, read_caption, with_trigger
from ...dataset.model import Picture
from .open import Opened, stamp, text_file_of

RECIPE = frozenset(f.name for f in fields(Recipe))


def with_body(picture: Picture, body: str, file: Path | None) -> Picture:
    """With a text of the user's own; what it is composed of is kept."""
    return replace(picture, body=body, text_file=file, captioner="", seed=None)


def put_bodies(opened: Opened, pictures: Mapping[int, Picture]) -> None:
    """Pictures with other bodies: as the node gave them where they are so again, else with their new final texts."""
    found = {n: _as_given(opened, n, picture) for n, picture in pictures.items()}
    new = {n: picture for n, picture in found.items() if picture is not opened.given[n]}
    opened.changed = (opened.changed - frozenset(pictures)) | frozenset(new)
    opened.put({**found, **_composed(opened, new)})


def refresh(opened: Opened, numbers: Iterable[int]) -> None:
    """Looks whether somebody has written to the caption files of these pictures, and reads those that are new.

    A text that is from no file (a captioner's, a file's name) is not looked for. While something is being changed,
    nothing is looked at.
    """
    pictures = (opened.now[n] for n in numbers)
    files = dict.fromkeys(text_file_of(picture) for picture in pictures if picture.text_file or not picture.body)
    new = [file for file in files if stamp(file) != opened.stamps.get(file)]
    if new and opened.lock.acquire(blocking=False):
        try:
            reread(opened, set(new))
        finally:
            opened.lock.release()


def reread(opened: Opened, files: Collection[Path]) -> None:
    """Files that somebody else has written, or an undo."""
    tables = {file: _table(file) for file in files if file.name in TABLES}
    pictures: dict[int, Picture] = {}
    for n, picture in enumerate(opened.now):
        file = _file_of(picture, files)
        if file is not None:
            text = _text(opened, n, file, tables)
            pictures[n] = with_body(picture, one_line(text or ""), None if text is None else file)
    for file in files:
        opened.stamps[file] = stamp(file)
    put_bodies(opened, pictures)


def _file_of(picture: Picture, files: Collection[Path]) -> Path | None:
    """The one of `files` that the picture's text is in, or would be."""
    if picture.text_file in files:
        return picture.text_file
    if picture.text_file is not None:
        return None
    own = (picture.path.with_suffix(suffix) for suffix in TEXT_SUFFIXES)
    return next((file for file in own if file in files), None)


def _text(opened: Opened, n: int, file: Path, tables: Mapping[Path, Table | None]) -> str | None:
    """None: there is none."""
    if file in tables:
        table = tables[file]
        return table.text_of(opened.now[n].path.relative_to(file.parent).as_posix()) if table else None
    try:
        return read_caption(file)
    except (UnreadableCaption, OSError):
        return None


def _table(file: Path) -> Table | None:
    try:
        return Table.read(file)
    except (Untouchable, OSError):
        return None


def _as_given(opened: Opened, n: int, picture: Picture) -> Picture:
    """The node's own picture where its text, or that of its file, is back."""
    given = opened.given[n]
    if picture.body == given.body and (picture.text_file == given.text_file or not given.captioner):
        return given if picture.text_file == given.text_file else replace(given, text_file=picture.text_file)
    if n in opened.originals:
        before = opened.originals[n]
        there = picture.body if picture.text_file else None
        if there == (None if before is None else one_line(before)):
            return given
    return picture


def _composed(opened: Opened, pictures: Mapping[int, Picture]) -> dict[int, Picture]:
    """With the final texts: by the recipe of Compose Captions (Danlu) where that has made the old ones."""
    found: dict[int, Picture] = {}
    recipes: dict[tuple[int, tuple[tuple[str, str], ...]], list[int]] = {}
    for n, picture in pictures.items():
        recipe = tuple((name, text) for name, text in opened.given[n].parts if name in RECIPE)
        if recipe:
            recipes.setdefault((opened.part_of[n], recipe), []).append(n)
        else:
            found[n] = replace(picture, caption=_plain(opened, n, picture))
    for (number, recipe), numbers in recipes.items():
        bodies = [p.body for owner, p in zip(opened.part_of, opened.now, strict=True) if owner == number]
        asked = Recipe(**{"kind": kind_of_all(bodies), **dict(recipe)})  # type: ignore[arg-type]
        part = replace(opened.parts[number], pictures=tuple(pictures[n] for n in numbers))
        found.update(zip(numbers, compose_dataset(part, asked).dataset.pictures, strict=True))
    return found


def _plain(opened: Opened, n: int, picture: Picture) -> str:
    """The text with the trigger; without a text, what the node has found for that."""
    given = opened.given[n]
    if not picture.body and not given.body:
        return given.caption
    return cut(with_trigger(picture.body, opened.part(n).trigger))[0]
