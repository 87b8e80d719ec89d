"""A run's log: one line of JSON a step, appended and never rewritten.

A run that went on from an earlier state writes some steps a second time: of two lines for one step the later counts.
A line that a crash cut short is no line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

LAST_STEP = 10**9


class RunLog:
    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, values: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, ensure_ascii=False) + "\n")

    def mend(self) -> None:
        """Ends a line that a crash cut short, so that the next one stands alone."""
        if not self.path.exists() or not self.path.stat().st_size:
            return
        with self.path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")

    def sync(self) -> None:
        """Everything so far is on the disk when this returns."""
        if self.path.exists():
            with self.path.open("r+b") as file:
                os.fsync(file.fileno())

    def note(self, step: int, text: str) -> None:
        """Something that happened between two steps."""
        self.append({"note": text, "after": step})

    def steps(self, until: int | None = None) -> list[dict[str, Any]]:
        """A line for each step from 1 to `until`, in order; odd lines, of a run from elsewhere say, are none."""
        found = {line["step"]: line for line in self._lines() if _is_step(line.get("step"))}
        return [line for step, line in sorted(found.items()) if until is None or step <= until]

    def notes(self) -> list[dict[str, Any]]:
        return [line for line in self._lines() if "note" in line]

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                values = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(values, dict):
                yield values


def _is_step(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LAST_STEP
