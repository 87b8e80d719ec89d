"""What the small captioners know: a coloured square on white or black."""

from __future__ import annotations

import itertools
import random

from PIL import Image, ImageDraw

COLOURS = {"red": (220, 30, 30), "green": (30, 180, 60), "blue": (40, 60, 220), "yellow": (240, 220, 40)}
BACKGROUNDS = ("white", "black")
SQUARES = tuple(itertools.product(COLOURS, BACKGROUNDS))
JITTER = 0.12
"""How far edges move, as a part of the picture's side."""


def draw_square(colour: str, background: str, side: int = 96, rng: random.Random | None = None) -> Image.Image:
    """RGB, `side` pixels square; with `rng` the square's place and size vary."""
    image = Image.new("RGB", (side, side), background)
    left, top, more = (rng.uniform(-JITTER, JITTER) * side if rng else 0 for _ in range(3))
    box = [side * 0.25 + left, side * 0.25 + top, side * 0.75 + left + more, side * 0.75 + top + more]
    ImageDraw.Draw(image).rectangle(box, fill=COLOURS[colour])
    return image
