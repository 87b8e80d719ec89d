"""The grid as pictures: columns of LoRAs, rows of prompts, on as many pages as it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Union

from ..lettering import font, text_size, wrapped

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

INK, GREY, PAPER = (30, 30, 34), (120, 120, 126), (255, 255, 255)
LARGEST_CELL, SMALLEST_CELL = 512, 128
LARGEST_PAGE = 4096
"""Pixels of either side, more or less: what browsers and viewers open without trouble."""
GAP, TITLE = 8, 40

Source = Union[Path, "Image", "np.ndarray"]
"""Of a picture; a file is read when its page is drawn, and an array is (height, width, 3) of 0 to 255."""


@dataclass(frozen=True)
class Shown:
    """What stands in a cell."""

    pictures: tuple[Source, ...]
    caption: str = ""


Cells = Mapping[tuple[str, str], Shown]
"""(column, row) -> what stands there; a missing one stays empty."""


def draw_pages(title: str, columns: Sequence[str], rows: Sequence[str], cells: Cells) -> Iterator[Image]:
    """All of the same size, each with the labels of its columns and rows; drawn one after the other."""
    layout = _Layout.of(columns, rows, cells)
    pages = []
    for top in range(0, len(rows), layout.rows):
        for left in range(0, len(columns), layout.columns):
            shown = columns[left : left + layout.columns], rows[top : top + layout.rows]
            pages.append((shown[0], shown[1]))
    for number, labels in enumerate(pages, 1):
        yield _page(f"{title}   {number} / {len(pages)}" if len(pages) > 1 else title, *labels, cells, layout)


@dataclass(frozen=True)
class _Layout:
    width: int
    """Pixels of a cell."""
    height: int
    side: int
    """Of the rows' labels."""
    head: int
    """Of the columns' labels."""
    caption: int
    columns: int
    """On a page."""
    rows: int

    @classmethod
    def of(cls, columns: Sequence[str], rows: Sequence[str], cells: Cells) -> _Layout:
        sizes = [_strip_size(cell.pictures) for cell in cells.values()] or [(LARGEST_CELL, LARGEST_CELL)]
        widest, highest = max(w for w, _ in sizes), max(h for _, h in sizes)
        scale = min(1.0, LARGEST_CELL * max(1, _most(cells)) / widest, LARGEST_CELL / highest)
        width, height = max(SMALLEST_CELL, round(widest * scale)), max(SMALLEST_CELL, round(highest * scale))
        side = 2 * GAP + max([text_size(wrapped(row, 300))[0] for row in rows], default=0)
        head = 2 * GAP + max([text_size(wrapped(column, width))[1] for column in columns], default=0)
        caption = 24 if any(cell.caption for cell in cells.values()) else 0
        across = max(1, (LARGEST_PAGE - side) // (width + GAP))
        down = max(1, (LARGEST_PAGE - head - TITLE) // (height + caption + GAP))
        return cls(width, height, side, head, caption, min(across, len(columns)), min(down, len(rows)))

    @property
    def size(self) -> tuple[int, int]:
        across = self.side + self.columns * (self.width + GAP) + GAP
        return across, TITLE + self.head + self.rows * (self.height + self.caption + GAP) + GAP


def _page(title: str, columns: Sequence[str], rows: Sequence[str], cells: Cells, layout: _Layout) -> Image:
    from PIL import Image, ImageDraw

    page = Image.new("RGB", layout.size, PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((GAP, TITLE / 2), title, GREY, font(title, 18), anchor="lm")
    for x, column in enumerate(columns):
        middle = layout.side + x * (layout.width + GAP) + layout.width / 2
        text = wrapped(column, layout.width)
        draw.multiline_text((middle, TITLE + layout.head / 2), text, INK, font(text), anchor="mm", align="center")
    for y, row in enumerate(rows):
        upper = TITLE + layout.head + y * (layout.height + layout.caption + GAP)
        text = wrapped(row, 300)
        draw.multiline_text((GAP, upper + layout.height / 2), text, INK, font(text), anchor="lm")
        for x, column in enumerate(columns):
            shown = cells.get((column, row))
            if shown:
                place = (layout.side + x * (layout.width + GAP), upper)
                page.paste(_fitted(shown.pictures, layout), place)
                caption = (place[0] + layout.width / 2, upper + layout.height + layout.caption / 2)
                draw.text(caption, shown.caption, GREY, font(shown.caption), anchor="mm")
    return page


def _opened(source: Source) -> Image:
    from PIL import Image

    if isinstance(source, Path):
        with Image.open(source) as picture:
            return picture.convert("RGB")
    return source if isinstance(source, Image.Image) else Image.fromarray(source).convert("RGB")


def _size(source: Source) -> tuple[int, int]:
    """(width, height), of a file without reading its pixels."""
    from PIL import Image

    if isinstance(source, Path):
        with Image.open(source) as picture:
            return picture.size
    return source.size if isinstance(source, Image.Image) else (source.shape[1], source.shape[0])


def _strip_size(pictures: Sequence[Source]) -> tuple[int, int]:
    """Of pictures side by side."""
    sizes = [_size(picture) for picture in pictures]
    return sum(width for width, _ in sizes), max(height for _, height in sizes)


def _most(cells: Cells) -> int:
    return max((len(cell.pictures) for cell in cells.values()), default=1)


def _fitted(pictures: Sequence[Source], layout: _Layout) -> Image:
    """Side by side in the middle of a cell, never enlarged."""
    from PIL import Image

    width, height = _strip_size(pictures)
    scale = min(1.0, layout.width / width, layout.height / height)
    cell = Image.new("RGB", (layout.width, layout.height), PAPER)
    left = (layout.width - round(width * scale)) // 2
    for picture in map(_opened, pictures):
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        smaller = picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)
        cell.paste(smaller, (left, (layout.height - size[1]) // 2))
        left += size[0]
    return cell
