"""Pictures of nothing in particular: what the autoencoder learns besides the world, so that it copes with
objects that it never saw."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .world import OVERSAMPLE, SIDE, shrink


def colour(rng: np.random.RandomState) -> tuple[int, int, int]:
    return tuple(int(c) for c in rng.randint(0, 256, 3))  # type: ignore


def gradient(rng: np.random.RandomState, side: int) -> Image.Image:
    """A plane of colour between four random corners."""
    corners = rng.randint(0, 256, (2, 2, 3)).astype(np.uint8)
    if rng.uniform() < 0.4:
        corners[:] = corners[0, 0]
    return Image.fromarray(corners).resize((side, side), Image.Resampling.BICUBIC)


def doodle(rng: np.random.RandomState, side: int = SIDE) -> Image.Image:
    big = side * OVERSAMPLE
    image = gradient(rng, big)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.randint(2, 12)):
        kind = rng.randint(4)
        x, y = rng.uniform(0, big, 2)
        size = big * np.exp(rng.uniform(np.log(0.02), np.log(0.4)))
        if kind == 0:
            points = [(x + rng.uniform(-size, size), y + rng.uniform(-size, size)) for _ in range(rng.randint(3, 8))]
            draw.polygon(points, fill=colour(rng))
        elif kind == 1:
            rx, ry = size * rng.uniform(0.3, 1), size * rng.uniform(0.3, 1)
            draw.ellipse([x - rx, y - ry, x + rx, y + ry], fill=colour(rng))
        elif kind == 2:
            ends = (x, y, *rng.uniform(0, big, 2))
            draw.line(ends, fill=colour(rng), width=int(rng.randint(1, 5) * OVERSAMPLE))
        else:
            draw.arc([x - size, y - size, x + size, y + size], *rng.uniform(0, 360, 2), fill=colour(rng), width=6)
    return shrink(image)
