"""Captions in tables beside the pictures: metadata.csv, metadata.jsonl, and the .json files of other trainers.

Known: Hugging Face's image folders (`file_name` and a text column), csv files of tutorials (`image,caption` and the
like, with or without a heading), sd-scripts' `meta_*.json` (`{path: {"caption", "tags"}}`), ai-toolkit's folder file
(`{path: {"caption", "caption_short"}}`) and its file a picture (`a.json` of `a.png`: `{"caption": ...}`).

A row only ever chooses among the pictures that were found in the folder: no path of a row is opened.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from .captions import METADATA_SUFFIXES, UnreadableCaption, check_link, decode, one_line
from .files import file_stat, shown, why_unread
from .listing import FoundFile, folded
from .model import counted, listed

USUAL_NAME = re.compile(r"^(metadata|meta|captions?|labels?|dataset|prompts?)([-_. ].*)?$", re.IGNORECASE)
FILE_COLUMNS = (
    *("file_name", "filename", "file", "image", "image_path", "image_file", "image_name", "img", "file_path"),
    *("filepath", "path", "video", "video_path", "video_file", "media", "media_path", "name"),
)
TEXT_COLUMNS = ("caption", "text", "prompt", "description", "captions", "instruction", "long_caption")
TAG_COLUMNS = ("tags", "tag", "tag_string")
MAX_BYTES = 64 << 20
MAX_TEXT = 1 << 20
DELIMITERS = (",", ";", "\t", "|")


class BadRow(ValueError):
    """Says why one row gives no caption."""


@dataclass(frozen=True)
class Row:
    line: str
    """Where it is, for people: "line 3", "entry 3"."""
    file: str
    text: str


@dataclass
class Metadata:
    """What the tables of a folder say about its pictures."""

    texts: dict[str, tuple[str, Path]] = field(default_factory=dict)
    """Name of a picture below the dataset's folder: its text, and the file that it is from."""
    notes: list[str] = field(default_factory=list)
    files: int = 0
    silent: list[str] = field(default_factory=list)
    """Files of single pictures that give no caption, and why."""


def read_metadata(files: Sequence[FoundFile], pictures: Sequence[FoundFile], any_name: bool = False) -> Metadata:
    """Of all listed `files`, the captions of `pictures`. With `any_name`, tables of every name are read where there is
    none with a usual name. Nothing is raised: what cannot be read or used is in `notes`."""
    found = Metadata()
    names = _Names(pictures)
    tables = [file for file in files if file.suffix in METADATA_SUFFIXES]
    own = {file.name: names.of_stem(file) for file in tables if file.suffix == ".json"}
    tables = [file for file in tables if not own.get(file.name)]
    usual = [file for file in tables if USUAL_NAME.match(file.path.stem)]
    for file in usual or (tables if any_name else []):
        _Table(file, names, found).read()
    for file in files:
        for picture in own.get(file.name) or ():
            _read_own(file, picture, found)
    if found.silent:
        found.notes.append(f"No caption in {counted(len(found.silent), 'file')}: {listed(found.silent)}")
    return found


def _read_own(file: FoundFile, picture: str, found: Metadata) -> None:
    """ai-toolkit's file beside one picture; it goes before a row of a table."""
    found.files += 1
    try:
        value = json.loads(_decoded(file.path), parse_constant=_no_number)
        text = one_line(value) if isinstance(value, str) else text_of(value)
        found.texts[picture] = (text, file.path)
    except (ValueError, RecursionError, OSError) as error:
        found.silent.append(f"{shown(file.name)} ({_why(error)})")


class _Names:
    """Finds a picture by what a row calls it."""

    def __init__(self, pictures: Sequence[FoundFile]):
        self.exact = {picture.name for picture in pictures}
        self.folded = {folded(picture.name): picture.name for picture in reversed(pictures)}
        self.stems: dict[str, list[str]] = {}
        for picture in pictures:
            self.stems.setdefault(picture.stem, []).append(picture.name)

    def of_stem(self, file: FoundFile) -> list[str]:
        """Pictures that a.json or a.png.json is the file of."""
        whole = self.folded.get(file.stem)
        return [whole] if whole else self.stems.get(file.stem, [])

    def find(self, folder: PurePosixPath, text: str) -> str | None:
        """`text`: relative to `folder`, or a full path of any computer, of which the end has to fit."""
        path = text.strip().replace("\\", "/")
        if not path or "\0" in path:
            raise BadRow("names no file")
        if re.match(r"^([A-Za-z]:|/|[A-Za-z]+://)", path):
            parts = [part for part in path.split("/") if part not in ("", ".")]
            if ".." in parts:
                raise BadRow("leads out of the folder")
            ends = ("/".join(parts[start:]) for start in range(len(parts)))
            return next((name for end in ends if (name := self._known(end))), None)
        kept: list[str] = []
        for part in (*folder.parts, *path.split("/")):
            if part == ".." and not kept:
                raise BadRow("leads out of the folder")
            if part == "..":
                kept.pop()
            elif part not in ("", "."):
                kept.append(part)
        return self._known("/".join(kept))

    def _known(self, name: str) -> str | None:
        if not name or name in self.exact:
            return name or None
        # Without its ending: sd-scripts writes "a" for a.png, and pictures are converted after they are captioned.
        stems = self.stems.get(folded(name)) or self.stems.get(folded(str(PurePosixPath(name).with_suffix("")))) or []
        return self.folded.get(folded(name)) or (stems[0] if len(stems) == 1 else None)


class _Table:
    """One metadata file; collects what is wrong with its rows."""

    def __init__(self, file: FoundFile, names: _Names, found: Metadata):
        self.file, self.names, self.found = file, names, found
        self.missing: list[str] = []
        self.wrong: list[str] = []
        self.twice: list[str] = []
        self.used = 0

    def read(self) -> None:
        self.found.files += 1
        seen: set[str] = set()
        try:
            for row in rows(self.file.path, self.wrong):
                self._take(row, seen)
        except (ValueError, RecursionError, OSError, csv.Error) as error:
            self.wrong.append(_why(error))
        self._tell()

    def _take(self, row: Row, seen: set[str]) -> None:
        named = f"{row.line} ({shown(row.file)[:80]})"
        try:
            name = self.names.find(PurePosixPath(self.file.name).parent, row.file)
        except BadRow as error:
            self.wrong.append(f"{named} {error}")
            return
        if name is None:
            self.missing.append(named)
        elif name in seen:
            self.twice.append(named)
        else:
            seen.add(name)
            self.used += 1
            self._put(name, row.text)

    def _put(self, name: str, text: str) -> None:
        """The table in the picture's own folder goes before others, else the first."""
        folder = PurePosixPath(name).parent
        known = self.found.texts.get(name)
        if known is None or (
            self.file.path.parent != known[1].parent and folder == PurePosixPath(self.file.name).parent
        ):
            self.found.texts[name] = (text, self.file.path)

    def _tell(self) -> None:
        name, notes = shown(self.file.name), self.found.notes
        if self.wrong:
            notes.append(f"{name}, not used: {listed(self.wrong)}")
        if self.missing:
            deeper = any("/" in line for line in self.missing)
            hint = " Pictures in folders below are read with 'recursive' on." if deeper and not self.used else ""
            notes.append(f"{name}, {counted(len(self.missing), 'row')} without a picture: {listed(self.missing)}{hint}")
        if self.twice:
            notes.append(f"{name}, a second row for the same picture, the first counts: {listed(self.twice)}")


def rows(path: Path, wrong: list[str]) -> Iterator[Row]:
    """The rows that have a file and a text. What is wrong with others is appended to `wrong`, with its line.

    Raises OSError, UnreadableCaption, ValueError or csv.Error where the rest cannot be read.
    """
    text = _decoded(path)
    kind = path.suffix.lower()
    if kind == ".json" and not _is_jsonl(text):
        yield from _objects(_json_entries(text), wrong)
    elif kind in (".jsonl", ".json"):
        yield from _objects(_jsonl_entries(text, wrong), wrong)
    else:
        yield from _csv_rows(text, wrong)


def text_of(entry: object) -> str:
    """The caption of a row or a file; tags go behind a caption, as sd-scripts does it. Raises BadRow."""
    if not isinstance(entry, Mapping):
        raise BadRow("is no object with a caption")
    values = {str(key).strip().casefold(): value for key, value in entry.items()}
    known = [name for name in (*TEXT_COLUMNS, *TAG_COLUMNS) if values.get(name) is not None]
    caption = next((t for name in TEXT_COLUMNS if (t := _text(name, values.get(name)))), "")
    tags = next((t for name in TAG_COLUMNS if (t := _text(name, values.get(name)))), "")
    if not known:
        raise BadRow(f"has no caption (one of {', '.join((*TEXT_COLUMNS[:4], TAG_COLUMNS[0]))})")
    return ", ".join(part for part in (caption, tags) if part)


def _text(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        separator = ", " if name in TAG_COLUMNS else " "
        value = separator.join(value[:1] if name == "captions" else value)
    if not isinstance(value, str):
        raise BadRow(f"has a {name} that is no text")
    if len(value) > MAX_TEXT:
        raise BadRow(f"has a {name} of {len(value)} characters, which is no caption")
    return one_line(value)


def _file_of(entry: Mapping[str, Any]) -> str:
    values = {str(key).strip().casefold(): value for key, value in entry.items()}
    for name in FILE_COLUMNS:
        value = values.get(name)
        if isinstance(value, Mapping):  # datasets' own Image feature: {"path": ..., "bytes": ...}
            value = value.get("path")
        if isinstance(value, str) and value.strip():
            return value
    raise BadRow(f"names no file (one of {', '.join(FILE_COLUMNS[:4])})")


def _objects(entries: Iterator[tuple[str, str | None, object]], wrong: list[str]) -> Iterator[Row]:
    for line, file, entry in entries:
        try:
            if not isinstance(entry, (Mapping, str)) or (file is None and isinstance(entry, str)):
                raise BadRow("is no object")
            name = file if file is not None else _file_of(entry)  # type: ignore[arg-type]
            yield Row(line, name, one_line(entry) if isinstance(entry, str) else text_of(entry))
        except BadRow as error:
            where = f"{line} ({shown(file)[:80]})" if file is not None else line
            wrong.append(f"{where} {error}")


def _json_entries(text: str) -> Iterator[tuple[str, str | None, object]]:
    """(where, file, what is said about it) of one JSON value."""
    whole = json.loads(text, parse_constant=_no_number)
    if isinstance(whole, list):
        yield from ((f"entry {number}", None, entry) for number, entry in enumerate(whole, 1))
        return
    if not isinstance(whole, dict):
        raise BadRow("neither a list of rows nor an object of files")
    inner = [whole[key] for key in ("data", "images", "items", "annotations") if isinstance(whole.get(key), list)]
    if inner:
        yield from ((f"entry {number}", None, entry) for number, entry in enumerate(inner[0], 1))
        return
    yield from ((f"entry {number}", file, entry) for number, (file, entry) in enumerate(whole.items(), 1))


def _is_jsonl(text: str) -> bool:
    """Some call their lines of JSON .json."""
    first, _, rest = text.strip().partition("\n")
    return bool(first.startswith("{") and first.rstrip().endswith("}") and rest.strip().startswith("{"))


def _jsonl_entries(text: str, wrong: list[str]) -> Iterator[tuple[str, str | None, object]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield f"line {number}", None, json.loads(line, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            wrong.append(f"line {number} is no JSON ({_why(error)})")


def _csv_rows(text: str, wrong: list[str]) -> Iterator[Row]:
    told = re.match(r"\s*(?:sep=.[ \t]*\n)?\s*", text)  # Excel's own first line
    skipped = told[0].count("\n") if told else 0
    text = text[told.end() if told else 0 :]
    delimiter, has_heading = _layout(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    before = csv.field_size_limit(MAX_TEXT)
    start = 1
    try:
        heading = _heading(next(reader)) if has_heading else ["file_name", "text"]
        start = reader.line_num + 1
        for cells in reader:
            line, start = f"line {start + skipped}", reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            try:
                entry = _entry(heading, cells, delimiter)
                yield Row(line, _file_of(entry), text_of(entry))
            except BadRow as error:
                wrong.append(f"{line} {error}")
    except csv.Error as error:
        wrong.append(f"line {start + skipped} and all below ({error}; is a quote left open?)")
    finally:
        csv.field_size_limit(before)


def _layout(text: str) -> tuple[str, bool]:
    """Which sign is between the cells, and whether the first row names them. Raises ValueError for no table."""
    first = text.partition("\n")[0]
    if not first:
        raise ValueError("the file is empty")
    for delimiter in DELIMITERS:
        heading = _heading(next(csv.reader([first], delimiter=delimiter)))
        if set(heading) & set(FILE_COLUMNS) and set(heading) & {*TEXT_COLUMNS, *TAG_COLUMNS}:
            return delimiter, True
    for delimiter in DELIMITERS:
        cells = next(csv.reader([first], delimiter=delimiter))
        if len(cells) > 1 and re.search(r"\.[A-Za-z0-9]{3,4}$", cells[0].strip()):
            return delimiter, False
    raise ValueError(
        f"the first line ({shown(first)[:80]}) names no columns: one for the file ({', '.join(FILE_COLUMNS[:4])}) and "
        f"one for the text ({', '.join(TEXT_COLUMNS[:4])})"
    )


def _heading(cells: Sequence[str]) -> list[str]:
    return [cell.strip().strip('"').casefold() for cell in cells]


def _entry(heading: Sequence[str], cells: Sequence[str], delimiter: str) -> dict[str, str]:
    """Cells by their column. More cells than columns: commas of a last column that somebody forgot to quote."""
    if len(cells) > len(heading):
        if heading[-1] not in (*TEXT_COLUMNS, *TAG_COLUMNS):
            raise BadRow(f"has {len(cells)} cells, but there are {len(heading)} columns: put quotes around the text")
        cells = [*cells[: len(heading) - 1], delimiter.join(cells[len(heading) - 1 :])]
    return dict(zip(heading, cells, strict=False))


def _decoded(path: Path) -> str:
    check_link(path)
    size = file_stat(path).st_size
    if size > MAX_BYTES:
        raise UnreadableCaption(f"{size >> 20} MB; more than {MAX_BYTES >> 20} MB are not read")
    return decode(path.read_bytes()).replace("\r\n", "\n").replace("\r", "\n")


def _no_number(name: str) -> None:
    return None


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return why_unread(error)
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, line {error.lineno}, column {error.colno}"
    return str(error) or type(error).__name__
