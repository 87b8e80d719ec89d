"""What captioners have written, on disk from the moment it was written.

A file a captioner, one line of JSON a text: a crash loses no finished text, and a new trigger, prefix or order of
pictures needs no model. Of two lines for one picture the later counts; a line that a crash cut short is no line.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .captioner import Caption

IDENTITY = re.compile(r"[0-9a-f]{16,128}")


@dataclass(frozen=True)
class Record:
    content: str
    """Hash of the picture's file; with the number of the frame for videos."""
    seed: int
    name: str
    """For people: where the picture was then."""
    caption: Caption


class Records:
    """The texts of one captioner."""

    def __init__(self, folder: Path, identity: str, title: str = ""):
        """`identity`, `title`: of the captioner. Nothing is written before the first text."""
        if not IDENTITY.fullmatch(identity):
            raise ValueError(f"a captioner's identity is a hash in hexadecimal digits, not {identity!r}")
        self.path = folder / f"{identity}.jsonl"
        self._title = title
        self._found = {(line.content, line.seed): line.caption for line in self._lines()}

    def find(self, content: str, seed: int) -> Caption | None:
        return self._found.get((content, seed))

    def keep(self, records: Iterable[Record]) -> None:
        """Is on the disk when this returns."""
        records = list(records)
        if not records:
            return
        lines = [_line(record, self._title) for record in records]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            if file.tell() and not _ends_a_line(file):
                lines.insert(0, "")
            file.write("\n".join([*lines, ""]).encode("utf-8", "surrogatepass"))
            file.flush()
            os.fsync(file.fileno())
        self._found.update({(record.content, record.seed): record.caption for record in records})

    def _lines(self) -> Iterator[Record]:
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8", errors="replace").split("\n"):
            try:
                values = json.loads(line)
                caption = Caption(str(values["text"]), str(values["flag"]))
                yield Record(str(values["content"]), int(values["seed"]), str(values["name"]), caption)
            except (ValueError, TypeError, KeyError):
                continue


def _line(record: Record, title: str) -> str:
    values: dict[str, Any] = {
        "content": record.content,
        "seed": record.seed,
        "text": record.caption.text,
        "flag": record.caption.flag,
        "name": record.name,
        "by": title,
        "time": round(time.time()),
    }
    return json.dumps(values)


def _ends_a_line(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"
