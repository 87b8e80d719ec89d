"""Which captions can be edited, and where their texts are."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from ...captioning.places import TABLES, TEXT_SUFFIXES, Place, Places, places_of
from ...dataset.files import shown
from ...dataset.model import Picture
from .open import Opened, text_file_of

HIDDEN = (
    "The pictures are in a folder that only Danlu uses (from a .zip, or from other nodes), where nobody would find "
    "what is written. Save Captions (Danlu) writes their captions below output"
)


@dataclass(frozen=True)
class Editing:
    """Of one opened dataset."""

    places: tuple[Place, ...]
    """By the number of the part."""

    @classmethod
    def of(cls, opened: Opened, places: Places) -> Editing:
        first, *others = (replace(part, pictures=()) for part in opened.parts)
        return cls(tuple(places_of(replace(first, joined=tuple(others)), "", places)))

    def why_not(self, opened: Opened, n: int) -> str:
        """Why the caption of this picture cannot be edited; empty: it can."""
        place, picture = self.places[opened.part_of[n]], opened.now[n]
        if not place.beside:
            return HIDDEN
        if not os.path.lexists(picture.path):
            return "The picture is not there any more"
        file = picture.text_file
        if n in opened.twins and not (file and file.name in TABLES):
            return "Another picture has the same name, and so the same caption file: rename one of them"
        if file is None:
            return _without_file(opened, picture)
        if is_own(picture) or (file.parent == place.folder and file.name in TABLES):
            return ""
        return f"Its caption is in {shown(file.name)}, which is not written"

    def why_not_at_all(self) -> str:
        """Empty: some of it can be written."""
        return "" if any(place.beside for place in self.places) else HIDDEN


def _without_file(opened: Opened, picture: Picture) -> str:
    if picture.body and not picture.captioner:
        return "Its caption is its file's name: set 'captions' of Load Dataset (Danlu) to auto"
    own = text_file_of(picture)
    there = opened.stamps.get(own)
    if there and there[1]:
        return f"{shown(own.name)} beside it was not to be read: set 'captions' of Load Dataset (Danlu) to auto"
    return ""


def is_own(picture: Picture) -> bool:
    """Whether its caption is in a text file of its own, beside it."""
    file = picture.text_file
    return file is not None and file.suffix.lower() in TEXT_SUFFIXES and file.parent == picture.path.parent


def format_of(picture: Picture) -> str:
    """What the caption is written as: see `captioning.plan.FORMATS`."""
    file = picture.text_file
    return file.name if file is not None and file.name in TABLES else ".txt"
