"""What will be written where, and what stays: decided for all pictures before the first byte."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ..dataset.captions import holds, one_line
from ..dataset.listing import FoundFile
from ..dataset.metadata import read_metadata
from ..dataset.model import Dataset, Picture, listed
from ..errors import DanluError
from .compose import WITHOUT, without_leading
from .journal import Entry, History, is_ours
from .places import TABLES, TEXT_SUFFIXES, Place, inside
from .tables import Table, row_key
from .text_files import Style, Untouchable, decoded, read_bytes
from .texts import PROSE_SEPARATOR, TAG_SEPARATOR, join, kind_of_all

FORMATS = (*TEXT_SUFFIXES, *TABLES)
POLICIES = ("skip", "fill_empty", "append", "prepend", "replace")

MISSING, EMPTY, YOURS, OURS, EDITED, MIXED = "missing", "empty", "yours", "ours", "edited", "mixed"
"""States of a text. MIXED: ours was added to one of the user's. EDITED: ours, changed by somebody since."""
TABLE_BYTES = 64 << 20
STATES = (MISSING, EMPTY, YOURS, OURS, EDITED, MIXED)

CHANGES = {
    "skip": {MISSING},
    "fill_empty": {MISSING, EMPTY},
    "append": {MISSING, EMPTY, YOURS, OURS, MIXED},
    "prepend": {MISSING, EMPTY, YOURS, OURS, MIXED},
    "replace": {MISSING, EMPTY, OURS},
}
"""Which states each policy changes."""
CHANGES_YOURS = {"append": {EDITED}, "prepend": {EDITED}, "replace": {YOURS, EDITED, MIXED}}
"""Which ones it changes, too, with `replace_yours`."""


@dataclass(frozen=True)
class Wish:
    """What the user asked for."""

    format: str
    policy: str
    replace_yours: bool
    typed: bool = False
    """The texts are as somebody has just typed them: written as they are, the empty ones too."""

    def checked(self) -> Wish:
        for name, choices in (("format", FORMATS), ("policy", POLICIES)):
            if getattr(self, name) not in choices:
                known = ", ".join(choices)
                raise DanluError(f"The input {name!r} is {getattr(self, name)!r}; it can be one of {known}.")
        return self

    def changes(self, state: str) -> bool:
        return state in CHANGES[self.policy] or self.replace_yours and state in CHANGES_YOURS.get(self.policy, ())

    @property
    def adds(self) -> bool:
        return self.policy in ("append", "prepend")


@dataclass(frozen=True)
class Item:
    """One picture's text."""

    picture: Picture
    file: str
    """Where it goes, below the folder."""
    state: str
    row: str = ""
    """In a table."""
    old: bytes | None = None
    """The file, or the row's text, as it is."""
    text: str | None = None
    """As it will be; None: it stays as it is."""
    new: bytes | None = None
    """The bytes of `text`."""
    keeps: bool = False
    """`text` holds what was there."""
    owner: Entry | None = None
    """The change of ours that made what is there."""
    why: str = ""
    """It cannot be changed, whatever is asked for."""

    @property
    def is_nothing(self) -> bool:
        """There is no caption to be written."""
        picture, parts = self.picture, dict(self.picture.parts)
        said = picture.body or picture.before_body and picture.captioner  # else the caption is a trigger alone
        return not picture.caption or WITHOUT in parts or not (parts or said)


@dataclass
class Plan:
    """Of one folder."""

    place: Place
    items: list[Item]
    table: Table | None = None
    table_bytes: bytes | None = None
    """The table as it is."""

    @property
    def folder(self) -> Path:
        return self.place.folder

    @property
    def written(self) -> list[Item]:
        return [item for item in self.items if item.text is not None]


def plan_folder(part: Dataset, place: Place, wish: Wish) -> Plan:
    """Reads, and changes nothing. Raises DanluError where something cannot be done as asked."""
    for picture in part.pictures:
        _check_below(part, picture)
    if wish.format in TABLES:
        return _table_plan(part, place, wish)
    history, folders = History(place.folder), _Folders(place, wish.format)
    items = []
    for picture in part.pictures:
        path = folders.target(part, picture)
        name = path.relative_to(place.folder).as_posix()
        items.append(_file_item(picture, name, path, history, wish, part.trigger))
    _refuse_collisions(items, place)
    return Plan(place, items)


def _check_below(part: Dataset, picture: Picture) -> None:
    if not picture.path.is_relative_to(part.folder) or ".." in picture.path.relative_to(part.folder).parts:
        raise DanluError(
            f"{picture.name}: the picture is not in {part.folder}, so its caption cannot go beside it. Give a folder "
            "below output in 'folder'."
        )


class _Folders:
    """Finds text files, looking into each folder once."""

    def __init__(self, place: Place, suffix: str) -> None:
        self.place = place
        self.suffix = suffix
        self._known: set[Path] = set()
        self._files: dict[Path, dict[str, str]] = {}

    def target(self, part: Dataset, picture: Picture) -> Path:
        """The text file that the picture has; else one named like it."""
        relative = PurePosixPath(picture.path.relative_to(part.folder).as_posix())
        own = picture.text_file
        if self.place.beside and own and own.parent == picture.path.parent and own.suffix.lower() in TEXT_SUFFIXES:
            return self._inside(relative.parent / own.name)
        path = self._inside(relative.parent / (relative.stem + self.suffix))
        others = [suffix for suffix in TEXT_SUFFIXES if suffix != self.suffix]
        names = [path.name, *(relative.stem + suffix for suffix in others), relative.name + self.suffix]
        there = self._names(path.parent)
        found = next((there[key] for name in names if (key := _folded(name)) in there), None)
        return path.with_name(found) if found else path

    def _inside(self, name: PurePosixPath) -> Path:
        return inside(self.place.folder, name.as_posix(), self._known)

    def _names(self, folder: Path) -> dict[str, str]:
        """Files by their name without case, as most systems see them."""
        if folder not in self._files:
            try:
                self._files[folder] = {_folded(entry.name): entry.name for entry in os.scandir(folder)}
            except FileNotFoundError:
                self._files[folder] = {}
        return self._files[folder]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _file_item(picture: Picture, name: str, path: Path, history: History, wish: Wish, trigger: str) -> Item:
    try:
        old = read_bytes(path)
        body, style = ("", Style()) if old is None else decoded(old)
    except (Untouchable, OSError) as error:
        return Item(picture, name, YOURS, why=str(error) or type(error).__name__)
    owner = history.owner(name, old)
    state = _state(old, bool(body.strip()), owner, picture)
    item = Item(picture, name, state, old=old, owner=owner)
    return _decided(item, body, style, wish, trigger)


def _state(old: bytes | None, has_text: bool, owner: Entry | None, picture: Picture) -> str:
    if old is None:
        return MISSING
    if not has_text:
        return EMPTY
    if owner is None:
        return YOURS
    if not is_ours(owner, old):
        return EDITED
    if picture.captioner and owner.body and not owner.captioner:  # the user's words, composed; these are others
        return YOURS
    return MIXED if owner.keeps else OURS


def _decided(item: Item, there: str, style: Style, wish: Wish, trigger: str) -> Item:
    if item.is_nothing and not wish.typed or not wish.changes(item.state):
        return item
    ours = text = item.picture.caption.encode("utf-8", "replace").decode()  # half a letter cannot be written
    if wish.adds and there:
        text = added(there, text, wish.policy, trigger)
    same = one_line(text) == one_line(there)
    if text == there or same and (wish.typed or item.state in (OURS, MIXED)):
        return item
    keeps = wish.adds and item.state in (YOURS, EDITED, MIXED) or text != ours
    return replace(item, text=text, new=style.encoded(text), keeps=keeps)


def added(there: str, text: str, policy: str, trigger: str = "") -> str:
    """Both texts, the new one behind or in front; what one of them says already is not said again."""
    line = one_line(there)
    if trigger and holds(line, trigger):
        text = without_leading(text, trigger, "prose") or text
    if line.endswith(text) if policy == "append" else line.startswith(text):
        return there
    if line in text:
        return text
    joint = TAG_SEPARATOR if kind_of_all([line, text]) == "tags" else PROSE_SEPARATOR
    return join(there, text, joint) if policy == "append" else join(text, there, joint)


def _table_plan(part: Dataset, place: Place, wish: Wish) -> Plan:
    path = inside(place.folder, wish.format)
    try:
        raw = read_bytes(path, TABLE_BYTES)
        table = Table(wish.format.endswith("l")) if raw is None else Table.parsed(wish.format, raw)
    except (Untouchable, OSError) as error:
        raise DanluError(f"{path} cannot be used: {error}. Mend it, move it away, or choose another format.") from error
    history, items = History(place.folder), []
    for picture in part.pictures:
        row = picture.path.relative_to(part.folder).as_posix()
        text = table.text_of(row)
        old = None if text is None else text.encode("utf-8", "surrogatepass")
        owner = history.owner(wish.format, old, row)
        item = Item(
            picture, wish.format, _state(old, bool((text or "").strip()), owner, picture), row, old, owner=owner
        )
        items.append(_decided(item, text or "", Style(), wish, part.trigger))
    changed = [item for item in items if item.text is not None]
    _refuse_collisions(items, place)
    if raw is not None:
        _refuse_other_rows(path, table, [item.row for item in changed], part)
    for item in changed:
        table.set(item.row, item.text or "")
    return Plan(place, items, table, raw)


def _refuse_other_rows(path: Path, table: Table, rows: list[str], part: Dataset) -> None:
    """Load Dataset takes more for a picture's row and text: stems, full paths, tags in a column of their own."""
    pictures = [FoundFile(p.path, p.path.relative_to(part.folder).as_posix(), 1) for p in part.pictures]
    read = read_metadata([FoundFile(path, path.name, 1)], pictures).texts
    odd = [row for row in rows if row in read and one_line(table.text_of(row) or "\0") != (read[row][0] or "\0")]
    if odd:
        raise DanluError(
            f"{path} cannot be used: the rows of {listed(odd)} name the picture in another way, or their text is in "
            "more than one cell. Nothing was written. Give each the file's name and one cell of text, move the table "
            "away, or choose another format."
        )


def _refuse_collisions(items: list[Item], place: Place) -> None:
    """Two pictures, one text file or row: whichever came last would win."""
    if clashes := list(_clashes(items)):
        shown = listed([" and ".join(names) for names in clashes])
        rows = bool(items[0].row)
        what, other = ("row", "") if rows else ("caption file", ", or choose the format metadata.csv")
        raise DanluError(
            f"These pictures in {place.folder} would share one {what}: {shown}. Rename or remove one of each{other}. "
            "Nothing was written."
        )


def _clashes(items: list[Item]) -> Iterator[list[str]]:
    found: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        found.setdefault((_folded(item.file), row_key(item.row)), []).append(item)
    for same in found.values():
        names = list(dict.fromkeys(item.picture.name for item in same))
        if len(names) > 1 and any(item.text is not None for item in same):
            yield names
