"""Where the caption of a picture comes from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import DanluError
from .captions import CAPTION_SUFFIXES, UnreadableCaption, from_file_name, read_caption
from .files import shown, why_unread
from .listing import FoundFile
from .metadata import Metadata, read_metadata
from .model import counted, listed

SOURCES_OF_FILES = ("auto", "txt")
SOURCES_OF_TABLES = ("auto", "metadata")
Text = tuple[str, Path | None]
"""A caption as it was written, and the file that holds it."""


class Texts:
    """Finds captions; what is odd about them is in `notes`."""

    def __init__(self, source: str, files: Sequence[FoundFile], pictures: Sequence[FoundFile]):
        """`source`: one of `model.CAPTION_SOURCES`. Raises DanluError where it is metadata and there is none."""
        self.source = source
        self.notes: list[str] = []
        self._files = [file for file in files if file.suffix in CAPTION_SUFFIXES]
        self._exact: dict[str, FoundFile] = {}
        self._folded: dict[str, FoundFile] = {}
        for file in self._files:
            for found, stem in ((self._exact, file.exact_stem), (self._folded, file.stem)):
                if stem not in found or (file.suffix == ".txt" and found[stem].suffix != ".txt"):
                    found[stem] = file
        self._used: set[str] = set()
        self._both: list[str] = []
        self._tables = Metadata()
        if source in SOURCES_OF_TABLES:
            self._tables = read_metadata(files, pictures, any_name=source == "metadata")
            self.notes += self._tables.notes
        if source == "metadata" and not self._tables.files:
            raise DanluError(
                "The input 'captions' is metadata, but there is no metadata.csv, metadata.jsonl or .json file beside "
                "the pictures. Put it there, with a column for the file and one for the text, or choose auto."
            )

    def of(self, picture: FoundFile) -> Text:
        if self.source == "filename":
            return from_file_name(picture.path.stem), None
        row = self._tables.texts.get(picture.name)
        file = self._file(picture) if self.source in SOURCES_OF_FILES else None
        if file:
            self._used.add(file.name)
            text = self._read(file)
            if row and text and row[0] and row[0] != text:
                self._both.append(shown(picture.name))
            if text or not row or not row[0]:
                return text, file.path
        return row or ("", None)

    def orphans(self) -> tuple[str, ...]:
        """Caption files of no picture."""
        if self.source not in SOURCES_OF_FILES:
            return ()
        return tuple(shown(file.name) for file in self._files if file.name not in self._used)

    def remarks(self) -> list[str]:
        """Everything that is known once all pictures were asked for."""
        if not self._both:
            return self.notes
        count = counted(len(self._both), "image")
        line = f"{count} with a caption file and another text in metadata, the file counts: {listed(self._both)}"
        return [*self.notes, line]

    def _file(self, picture: FoundFile) -> FoundFile | None:
        # "cat.txt" for "cat.png"; some tools write "cat.png.txt"
        for found, keys in (
            (self._exact, (picture.exact_stem, picture.name)),
            (self._folded, (picture.stem, picture.name.casefold())),
        ):
            for key in keys:
                file = found.get(key)
                if file and (file.suffix == ".txt" or self.source == "auto"):
                    return file
        return None

    def _read(self, file: FoundFile) -> str:
        try:
            return read_caption(file.path)
        except UnreadableCaption as error:
            why = str(error)
        except OSError as error:
            why = why_unread(error)
        self.notes.append(f"Caption {shown(file.name)} is not used: {why}")
        return ""
