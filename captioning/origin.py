"""Where a picture's caption comes from: the user's own words, a captioner's, or ours that somebody has edited."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

from ..dataset.captions import UnreadableCaption, one_line, read_caption
from ..dataset.model import Dataset, Picture
from ..errors import DanluError
from .journal import Entry, History, is_ours
from .places import TEXT_SUFFIXES, inside
from .tables import Table
from .text_files import Untouchable, read_bytes

EDITED = "edited by hand"


class Origins:
    """Of the pictures of one folder."""

    def __init__(self, dataset: Dataset) -> None:
        self.folder = dataset.folder
        self._tables: dict[Path, Table | None] = {}

    @cached_property
    def history(self) -> History:
        return History(self.folder)

    def resolved(self, picture: Picture) -> tuple[Picture, bool]:
        """With what its caption was made of, if that was us; and whether it has been edited by hand since.

        A caption that another node has changed since it was read is neither.
        """
        if picture.text_file is None or not self.history or not picture.text_file.is_relative_to(self.folder):
            return picture, False
        found = self._text(picture, picture.text_file)
        if found is None or one_line(found[0]) != picture.body:
            return picture, False
        _, raw, entry = found
        if entry is None or entry.keeps:
            return picture, False
        if not is_ours(entry, raw):
            return picture, True
        return _as_written(picture, entry), False

    def _text(self, picture: Picture, file: Path) -> tuple[str, bytes, Entry | None] | None:
        """(text, what its hash is taken of, the change that made it)"""
        name = file.relative_to(self.folder).as_posix()
        try:
            if file.suffix.lower() in TEXT_SUFFIXES:
                raw = read_bytes(inside(self.folder, name))
                return None if raw is None else (read_caption(file), raw, self.history.owner(name, raw))
            text = self._row(picture, file)
        except (Untouchable, UnreadableCaption, DanluError, OSError):
            return None
        if text is None:
            return None
        raw = text.encode("utf-8", "surrogatepass")
        return text, raw, self.history.owner(name, raw, picture.name)

    def _row(self, picture: Picture, file: Path) -> str | None:
        if file not in self._tables:
            self._tables[file] = Table.read(file)
        table = self._tables[file]
        return table.text_of(picture.name) if table else None


def _as_written(picture: Picture, entry: Entry) -> Picture:
    return replace(
        picture,
        body=entry.body,
        before_body=picture.before_body or entry.before_body,
        captioner=entry.captioner,
        seed=entry.seed,
        parts=tuple(entry.parts.items()),
    )
