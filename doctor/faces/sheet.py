"""Crops with their numbers, to see which are no good."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw, ImageOps

from ...dataset.images import open_rgb
from ...lettering import font, text_size, wrapped
from .crops import Crop

COLUMNS, ROWS, CELL, TEXT, GAP = 6, 5, 220, 40, 12
INK, GREY, PALE, PAPER, RED = (30, 30, 34), (120, 120, 126), (240, 240, 243), (255, 255, 255), (196, 48, 43)
WIDTH, HEIGHT = COLUMNS * (CELL + GAP) + GAP, ROWS * (CELL + TEXT + GAP) + GAP


def crop_pages(crops: Sequence[Crop], most: int, check: Callable[[], None] = lambda: None) -> list[Image.Image]:
    """At most `most`, all WIDTH x HEIGHT where there are several, else as high as the crops. Dropped ones are crossed
    out. One page that says so where there are none."""
    on_a_page = COLUMNS * ROWS
    chunks = [crops[start : start + on_a_page] for start in range(0, len(crops), on_a_page)][:most]
    if not chunks:
        page = Image.new("RGB", (WIDTH, CELL), PAPER)
        ImageDraw.Draw(page).text((WIDTH / 2, CELL / 2), "No face was found.", GREY, font("", 24), anchor="mm")
        return [page]
    rows = ROWS if len(chunks) > 1 else -(-len(chunks[0]) // COLUMNS)
    return [_page(chunk, rows, check) for chunk in chunks]


def _page(crops: Sequence[Crop], rows: int, check: Callable[[], None]) -> Image.Image:
    page = Image.new("RGB", (WIDTH, rows * (CELL + TEXT + GAP) + GAP), PAPER)
    draw = ImageDraw.Draw(page)
    for index, crop in enumerate(crops):
        check()
        left, top = GAP + index % COLUMNS * (CELL + GAP), GAP + index // COLUMNS * (CELL + TEXT + GAP)
        _cell(page, draw, crop, (left, top))
    return page


def _cell(page: Image.Image, draw: ImageDraw.ImageDraw, crop: Crop, place: tuple[int, int]) -> None:
    left, top = place
    image = ImageOps.contain(open_rgb(crop.picture.path), (CELL, CELL), Image.Resampling.LANCZOS)
    if crop.dropped:
        image = Image.blend(image, Image.new("RGB", image.size, PAPER), 0.7)
    draw.rectangle((left, top, left + CELL, top + CELL), PALE)
    page.paste(image, (left + (CELL - image.width) // 2, top + (CELL - image.height) // 2))
    if crop.dropped:
        for ends in ((left, top, left + CELL, top + CELL), (left, top + CELL, left + CELL, top)):
            draw.line(ends, RED, 4)
    number = str(crop.number)
    width = text_size(number, 22)[0] + 18
    draw.rounded_rectangle((left + 6, top + 6, left + 6 + width, top + 38), 7, RED if crop.dropped else INK)
    draw.text((left + 6 + width / 2, top + 22), number, PAPER, font(number, 22), anchor="mm")
    height, wide = crop.picture.size
    words = wrapped(f"{crop.subject.picture.name}, {wide}x{height}", CELL, 14, lines=2)
    draw.multiline_text((left, top + CELL + 5), words, GREY, font(words, 14))
