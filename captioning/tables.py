"""metadata.csv and metadata.jsonl: a file name and a text in each row; all else in them stays as it is."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..dataset.metadata import DELIMITERS, FILE_COLUMNS, MAX_BYTES, TAG_COLUMNS, TEXT_COLUMNS
from .text_files import Style, Untouchable, plain_text, read_bytes

NAME, TEXT = "file_name", "text"
"""What columns of new tables are called: as in Hugging Face's folders of images."""
_TEXTS = (*TEXT_COLUMNS, *TAG_COLUMNS)


@dataclass
class _Row:
    raw: str
    """With its line end."""
    cells: list[str] = field(default_factory=list)
    """Of csv."""
    values: dict[str, Any] | None = None
    """Of jsonl; None: no row."""


class Table:
    """A table in memory; `raw` rows that nobody changes are written back as they are."""

    def __init__(self, lines: bool, text: str = "", style: Style | None = None) -> None:
        """`lines`: jsonl, else csv. Raises Untouchable where rows cannot be told apart."""
        self._lines = lines
        self._style = style or Style()
        self._delimiter, self._name, self._text = ",", NAME, TEXT
        self._heading: list[str] = []
        self.rows = list(_json_rows(text)) if lines else self._csv_rows(text)
        self._places: dict[str, int] = {}
        for number, row in enumerate(self.rows):
            if name := self._name_of(row):
                self._places.setdefault(row_key(name), number)

    @staticmethod
    def read(path: Path) -> Table | None:
        """None: there is no such file. Raises Untouchable."""
        raw = read_bytes(path, MAX_BYTES)
        return None if raw is None else Table.parsed(path.name, raw)

    @staticmethod
    def parsed(name: str, raw: bytes) -> Table:
        text, style = plain_text(raw)
        return Table(name.lower().endswith(".jsonl"), text, style)

    def text_of(self, name: str) -> str | None:
        """None: there is no row for it."""
        number = self._places.get(row_key(name))
        if number is None:
            return None
        row = self.rows[number]
        if row.values is not None:
            value = row.values.get(_column(row.values, _TEXTS) or TEXT)
            return value if isinstance(value, str) else ""
        column = self._column(self._text)
        return row.cells[column] if column is not None and column < len(row.cells) else ""

    def set(self, name: str, text: str) -> None:
        """A new row, or another text in the one that is there."""
        number = self._places.get(row_key(name))
        if number is None:
            self._places[row_key(name)] = len(self.rows)
            self.rows.append(self._new_row(name, text))
        elif self._lines:
            row = self.rows[number]
            assert row.values is not None
            row.values[_column(row.values, _TEXTS) or TEXT] = text
            row.raw = self._json(row.values)
        else:
            self._set_cell(self.rows[number], text)

    def encoded(self) -> bytes:
        rows = [row.raw for row in self.rows]
        for number, raw in enumerate(rows[:-1]):
            if not raw.endswith(("\n", "\r")):
                rows[number] = raw + self._style.newline
        text = "".join(rows)
        try:
            return self._style.bom + text.encode(self._style.encoding)
        except UnicodeEncodeError:
            return text.encode("utf-8", "replace")

    # csv

    def _csv_rows(self, text: str) -> list[_Row]:
        if not text.strip():
            self._heading = [NAME, TEXT]
            return [_Row(self._csv([NAME, TEXT]), [NAME, TEXT])]
        for delimiter in (*DELIMITERS, None):  # a single column has none
            rows = list(_split(text, delimiter or ","))
            heading = [cell.strip().lower() for cell in rows[0].cells]
            name = _column(dict.fromkeys(heading), FILE_COLUMNS)
            if name is not None and (len(heading) > 1 or delimiter is None):
                self._delimiter, self._name, self._heading = delimiter or ",", name, heading
                self._text = _column(dict.fromkeys(heading), _TEXTS) or TEXT
                return rows
        raise Untouchable(f"its first line names no column of files, such as {NAME}")

    def _column(self, name: str) -> int | None:
        return self._heading.index(name) if name in self._heading else None

    def _name_of(self, row: _Row) -> str:
        if self._lines:
            value = row.values.get(_column(row.values, FILE_COLUMNS) or "") if row.values else None
            return value if isinstance(value, str) else ""
        column = self._column(self._name)
        return row.cells[column] if row is not self.rows[0] and column is not None and column < len(row.cells) else ""

    def _new_row(self, name: str, text: str) -> _Row:
        if self._lines:
            first = next((row.values for row in self.rows if row.values and _column(row.values, FILE_COLUMNS)), {})
            values = {
                (_column(first, FILE_COLUMNS) or NAME): name,
                (_column(first, _TEXTS) or TEXT): text,
            }
            return _Row(self._json(values), values=values)
        self._need_text_column()
        cells = [""] * len(self._heading)
        cells[self._heading.index(self._name)], cells[self._heading.index(self._text)] = name, text
        return _Row(self._csv(cells), cells)

    def _set_cell(self, row: _Row, text: str) -> None:
        self._need_text_column()
        column = self._heading.index(self._text)
        row.cells += [""] * (column + 1 - len(row.cells))
        row.cells[column] = text
        row.raw = self._csv(row.cells, row.raw.startswith('"'))

    def _need_text_column(self) -> None:
        if self._text not in self._heading:
            self._heading.append(self._text)
            heading = self.rows[0]
            heading.cells.append(self._text)
            heading.raw = self._csv(heading.cells, heading.raw.startswith('"'))

    def _csv(self, cells: list[str], quoted: bool = False) -> str:
        out = io.StringIO(newline="")
        layout: dict[str, Any] = {"delimiter": self._delimiter, "lineterminator": self._style.newline}
        csv.writer(out, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL, **layout).writerow(cells)
        return out.getvalue()

    def _json(self, values: Mapping[str, Any]) -> str:
        return json.dumps(values, ensure_ascii=False) + self._style.newline


def _split(text: str, delimiter: str) -> Iterator[_Row]:
    """Rows with the very text that each was read from."""
    taken: list[str] = []

    def feed() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            taken.append(line)
            yield line

    try:
        for cells in csv.reader(feed(), delimiter=delimiter):
            yield _Row("".join(taken), cells)
            taken.clear()
    except csv.Error as error:
        raise Untouchable(f"it is no table that can be read ({error})") from error


def _json_rows(text: str) -> Iterator[_Row]:
    for line in io.StringIO(text, newline=""):
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        yield _Row(line, values=values if isinstance(values, dict) else None)


def _column(values: Mapping[str, Any], wanted: tuple[str, ...] | list[str]) -> str | None:
    return next((name for name in wanted if name in values), None)


def row_key(name: str) -> str:
    """Equal for names of one row."""
    return name.strip().replace("\\", "/").removeprefix("./").casefold()
