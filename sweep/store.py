"""Cells that are done: each a picture of the user's output folder, and a note of what it is a picture of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from ..errors import DanluError

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST_NAME = 80
COMPRESSION = 4
"""The host's own, for PNG files."""


@dataclass(frozen=True)
class Done:
    files: tuple[Path, ...]
    label: str
    """What the user's own nodes called it; empty: nothing."""
    seconds: float


@dataclass(frozen=True)
class CellStore:
    """<folder>/<what all cells of a loop share>/<signature>.json, beside pictures below `output`."""

    folder: Path
    output: Path
    """The host's output folder; pictures go into its subfolder `danlu`."""

    def find(self, shared: str, signature: str) -> Done | None:
        """None also where the user has removed one of its pictures."""
        try:
            found = json.loads(self._note(shared, signature).read_text(encoding="utf-8"))
            files = tuple(self.output / name for name in found["files"])
            done = Done(files, str(found["label"]), float(found["seconds"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        inside = self.output.resolve()
        whole = all(file.is_file() and file.resolve().is_relative_to(inside) for file in files)
        return done if files and whole else None

    def add(
        self,
        shared: str,
        signature: str,
        pictures: Sequence[Image],
        place: tuple[str, str],
        texts: Mapping[str, str],
        label: str = "",
        seconds: float = 0.0,
    ) -> Done:
        """`place`: name of the pictures' folder, and of the picture; `texts` go into the PNG files."""
        from ..training.writing import write_json

        folder = self.output / "danlu" / plain_name(place[0])
        stem = f"{plain_name(place[1])}_{signature[:8]}"
        names = [f"{stem}.png"] if len(pictures) == 1 else [f"{stem}_{n}.png" for n in range(1, len(pictures) + 1)]
        for name, picture in zip(names, pictures, strict=True):
            save_png(folder / name, picture, texts)
        files = tuple(folder / name for name in names)
        note = self._note(shared, signature)
        note.parent.mkdir(parents=True, exist_ok=True)
        relative = [file.relative_to(self.output).as_posix() for file in files]
        write_json(note, {"files": relative, "label": label, "seconds": round(seconds, 3)})
        return Done(files, label, seconds)

    def usual_seconds(self, shared: str) -> float | None:
        """What a cell of such a loop took before; None: there was none."""
        times = []
        for note in sorted((self.folder / shared).glob("*.json"))[:100]:
            try:
                times.append(float(json.loads(note.read_text(encoding="utf-8"))["seconds"]))
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return median(times) if times else None

    def _note(self, shared: str, signature: str) -> Path:
        return self.folder / shared / f"{signature}.json"


def save_png(path: Path, picture: Image, texts: Mapping[str, str]) -> None:
    """Whole or not there. Raises DanluError where it cannot be written."""
    import io

    from PIL.PngImagePlugin import PngInfo

    from ..training.writing import write_atomically

    info = PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info, compress_level=COMPRESSION)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise DanluError(
            f"The picture {path} could not be written: {error}. Free some space and queue again."
        ) from error


def plain_name(text: str) -> str:
    """Of a label or a run: letters, digits and a few signs that every file system takes, and no path."""
    # The host shows no file with two dots in its name.
    clean = re.sub(r"\.{2,}", ".", re.sub(r"[^\w.+-]+", " ", text)).strip(" .")
    clean = clean.encode()[:LONGEST_NAME].decode(errors="ignore").strip(" .")
    return clean.replace(" ", "_") or "cells"


def note_of(cell: Any) -> dict[str, str]:
    """What a cell's own file says of it, beside the workflow."""
    return {"danlu_cell": json.dumps({"column": cell.column, "row": cell.row}, ensure_ascii=True)}
