"""Pictures with their captions under them, for the eye."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageOps

from ..dataset.images import SHEET_BACKGROUND
from ..lettering import font, text_size, wrapped
from .run import SHEET_SIDE as SIDE

GAP, LETTERS, LINES = 8, 14, 5
INK = (225, 225, 230)


def captioned_sheet(pictures: Sequence[tuple[Image.Image, str]]) -> Image.Image:
    """A grid of the pictures, each over its text; long texts end in an ellipsis."""
    texts = [wrapped(text, SIDE, LETTERS, LINES) or "(no caption)" for _, text in pictures]
    columns = max(1, min(4, math.ceil(math.sqrt(len(pictures)))))
    rows = [range(start, min(start + columns, len(pictures))) for start in range(0, len(pictures), columns)]
    heights = [SIDE + 3 * GAP + max(text_size(texts[n], LETTERS)[1] for n in row) for row in rows]
    sheet = Image.new("RGB", (columns * (SIDE + GAP) + GAP, sum(heights) or GAP), SHEET_BACKGROUND)
    draw, top = ImageDraw.Draw(sheet), GAP
    for row, height in zip(rows, heights, strict=True):
        for place, number in enumerate(row):
            left = GAP + place * (SIDE + GAP)
            small = pictures[number][0]
            small = small if max(small.size) == SIDE else ImageOps.contain(small, (SIDE, SIDE))
            sheet.paste(small, (left + (SIDE - small.width) // 2, top + (SIDE - small.height) // 2))
            text = texts[number]
            draw.multiline_text((left, top + SIDE + GAP // 2), text, INK, font(text, LETTERS))
        top += height
    return sheet
