"""Pairs as one picture, before → after: which way round they are is seen at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from ..lettering import font
from .images import SHEET_BACKGROUND, open_rgb
from .model import Picture

SIDE, ARROW, HEAD, GAP = 192, 56, 28, 16
"""Pixels: of a picture, of the arrow between two, of the line above, between two pairs."""
COLUMNS = 2
LIMIT = 6
INK = (235, 235, 235)


def pair_sheet(pictures: Sequence[Picture]) -> Image.Image:
    """The first pairs, each with its befores on the left and its after on the right of an arrow."""
    cells = [_pair(picture) for picture in [p for p in pictures if p.befores][:LIMIT]]
    columns = min(COLUMNS, len(cells))
    width, height = max(cell.width for cell in cells), cells[0].height
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP), SHEET_BACKGROUND)
    for number, cell in enumerate(cells):
        sheet.paste(cell, (number % columns * (width + GAP), number // columns * (height + GAP)))
    return sheet


def _pair(picture: Picture) -> Image.Image:
    count = len(picture.befores)
    cell = Image.new("RGB", ((count + 1) * SIDE + ARROW, HEAD + SIDE), SHEET_BACKGROUND)
    for number, path in enumerate(picture.befores):
        _place(cell, path, number * SIDE, "before" if count == 1 else f"before {number + 1}")
    _place(cell, picture.path, count * SIDE + ARROW, "after")
    _draw_arrow(ImageDraw.Draw(cell), count * SIDE, HEAD + SIDE // 2)
    return cell


def _place(cell: Image.Image, path: Path, left: int, label: str) -> None:
    small = ImageOps.contain(open_rgb(path, at_least=SIDE), (SIDE - 6, SIDE - 6), Image.Resampling.LANCZOS)
    cell.paste(small, (left + (SIDE - small.width) // 2, HEAD + (SIDE - small.height) // 2))
    ImageDraw.Draw(cell).text((left + SIDE // 2, HEAD // 2), label, INK, font(label), anchor="mm")


def _draw_arrow(draw: ImageDraw.ImageDraw, left: int, middle: int) -> None:
    tip, back = left + ARROW - 8, left + 8
    draw.line([(back, middle), (tip - 12, middle)], INK, 6)
    draw.polygon([(tip, middle), (tip - 18, middle - 12), (tip - 18, middle + 12)], INK)
