"""Finds the colour, shape, background, size and place of a picture's object by measuring it; no network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from .world import COLOURS, PLACES, SHAPES, SIZES, Placement, Scene, nominal, outline, place_points, second_tone

GRID = 40
FAR_FROM_BACKGROUND = 46.0
SMALLEST_OBJECT = 0.004
PLAIN_BELOW, STRIPED_ABOVE = 0.09, 0.375
LEAST_OVERLAP = 0.6


@dataclass(frozen=True)
class Finding:
    colour: str | None
    shape: str | None
    background: str
    pattern: str
    size: str | None
    place: str | None

    def agrees(self, scene: Scene, what: tuple[str, ...] = ("colour", "shape", "background", "pattern")) -> bool:
        return all(getattr(self, name) == getattr(scene, name) for name in what)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), dtype=np.float32)


@lru_cache
def tones(name: str) -> tuple[np.ndarray, np.ndarray]:
    return np.array(COLOURS[name], np.float32), np.array(second_tone(COLOURS[name]), np.float32)


def along_tones(picture: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """How far each pixel is from the line between a background's two tones, and where along it (0 to 1)."""
    first, second = tones(name)
    line = second - first
    t = np.clip((picture - first) @ line / (line @ line), 0, 1)
    return np.linalg.norm(picture - first - t[..., None] * line, axis=-1), t


def border(picture: np.ndarray, width: int = 3) -> np.ndarray:
    inner = np.zeros(picture.shape[:2], bool)
    inner[width:-width, width:-width] = True
    return picture[~inner]


def find_background(picture: np.ndarray) -> str:
    """The colour whose tones are nearest to the edge of the picture, where no object is."""
    edge = border(picture)
    return min(COLOURS, key=lambda name: float(np.minimum(along_tones(edge, name)[0], 80).mean()))


def tone_share(picture: np.ndarray, background: str, free: np.ndarray) -> float:
    """The share of the background that has the second tone: 0 plain, about a quarter dotted, half striped."""
    t = along_tones(picture, background)[1]
    return float((t[free] > 0.5).mean()) if free.any() else 0.0


def pattern_of(share: float) -> str:
    if share < PLAIN_BELOW:
        return "plain"
    return "striped" if share > STRIPED_ABOVE else "dotted"


def find_object(picture: np.ndarray, background: str) -> np.ndarray | None:
    """The mask of the largest thing that is not background."""
    away = along_tones(picture, background)[0] > FAR_FROM_BACKGROUND
    labels, count = ndimage.label(away)
    if not count:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    if sizes.max() < SMALLEST_OBJECT * away.size:
        return None
    return labels == 1 + int(sizes.argmax())


def nearest_colour(picture: np.ndarray, mask: np.ndarray) -> str:
    inside = ndimage.binary_erosion(mask, iterations=2)
    rgb = np.median(picture[inside if inside.any() else mask], axis=0)
    return min(COLOURS, key=lambda name: float(np.linalg.norm(rgb - np.array(COLOURS[name]))))


def normalised(mask: np.ndarray) -> np.ndarray:
    """The mask's bounding box at `GRID` x `GRID`."""
    ys, xs = np.nonzero(mask)
    box = mask[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    small = Image.fromarray(box.astype(np.uint8) * 255).resize((GRID, GRID), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 255


@lru_cache
def templates() -> tuple[tuple[str, np.ndarray], ...]:
    found = []
    for shape in SHAPES:
        for angle in (-0.15, -0.075, 0.0, 0.075, 0.15):
            canvas = Image.new("L", (256, 256))
            draw = ImageDraw.Draw(canvas)
            spot = Placement(0.5, 0.5, 0.4, angle)
            draw.polygon(place_points(outline(shape), spot, 256), fill=255)
            if shape == "ring":
                hole = [(x * 0.52, y * 0.52) for x, y in outline("ring")]
                draw.polygon(place_points(hole, spot, 256), fill=0)
            found.append((shape, normalised(np.asarray(canvas) > 127)))
    return tuple(found)


def find_shape(mask: np.ndarray) -> str | None:
    """The shape whose outline overlaps best, stretched to the same box."""
    seen = normalised(mask)
    overlap = [float(np.minimum(seen, t).sum() / np.maximum(seen, t).sum()) for _, t in templates()]
    best = int(np.argmax(overlap))
    return templates()[best][0] if overlap[best] >= LEAST_OVERLAP else None


def find_size_and_place(mask: np.ndarray) -> tuple[str, str]:
    ys, xs = np.nonzero(mask)
    side = mask.shape[0]
    reach = max(np.ptp(ys), np.ptp(xs)) / side / 2
    x, y = (xs.min() + xs.max() + 1) / 2 / side, (ys.min() + ys.max() + 1) / 2 / side
    size = min(SIZES, key=lambda s: abs(np.log(reach / (0.93 * nominal(s, "centre").radius))))

    def off(place: str) -> float:
        spot = nominal(size, place)
        return (spot.x - x) ** 2 + (spot.y - y) ** 2

    return size, min(PLACES, key=off)


def inspect(image: Image.Image) -> Finding:
    picture = pixels(image)
    background = find_background(picture)
    mask = find_object(picture, background)
    if mask is None:
        everywhere = np.ones(picture.shape[:2], bool)
        return Finding(None, None, background, pattern_of(tone_share(picture, background, everywhere)), None, None)
    free = ~ndimage.binary_dilation(ndimage.binary_fill_holes(mask), iterations=2)
    pattern = pattern_of(tone_share(picture, background, free))
    return Finding(nearest_colour(picture, mask), find_shape(mask), background, pattern, *find_size_and_place(mask))
