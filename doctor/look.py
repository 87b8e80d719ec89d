"""What is measured of one picture: once, from one small decoded copy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..dataset.clips import frames
from ..dataset.images import UnreadableImage, open_rgb, opened
from ..dataset.model import Picture
from .hashes import THUMB, perceptual_hash

SIDE = 768
"""Pictures are looked at with a longer side of at most this many pixels."""
TILES = 8

Grey: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Look:
    sharpness: float
    """Of the sharpest parts: log2 of the Laplacian's variance over the picture's own."""
    darkest: int
    """98 of 100 pixels are at least so bright, 0 to 255."""
    brightest: int
    """98 of 100 pixels are at most so bright."""
    contrast: float
    """Standard deviation of the brightness."""
    one_colour: float
    """Share of pixels that have about the most common colour."""
    bars: tuple[float, float, float, float]
    """Share of the height or width that plain bars take: top, right, bottom, left."""
    quality: int | None
    """Of a JPEG, as its tables tell; None for other kinds."""
    hash: int
    mirrored: int
    """Hash of the mirrored picture."""
    thumb: bytes
    """THUMB x THUMB pixels, RGB."""


def look_at(picture: Picture) -> Look:
    """Raises UnreadableImage."""
    try:
        stat = picture.path.stat()
    except OSError as error:
        raise UnreadableImage(f"it cannot be read any more ({error.strerror})") from error
    middle = picture.clip.frames // 2 if picture.clip else None
    return _look(picture.path, middle, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=20_000)
def _look(path: Path, frame: int | None, _mtime: int, _length: int) -> Look:
    image = still(path, frame, SIDE)
    if max(image.size) > SIDE:
        image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return measured(image, None if frame is not None else _quality(path))


def still(path: Path, frame: int | None = None, at_least: int | None = None) -> Image.Image:
    """A picture, or a frame of a video; with `at_least` perhaps smaller, see `open_rgb`."""
    return open_rgb(path, at_least) if frame is None else next(frames(path, [frame]))


def measured(image: Image.Image, quality: int | None = None) -> Look:
    light = image.convert("L")
    grey = np.asarray(light, dtype=np.float32)
    low, high = _percentiles(light)
    thumb = image.resize((THUMB, THUMB), Image.Resampling.BOX)
    values = np.asarray(light.resize((32, 32), Image.Resampling.BOX), dtype=np.float32)
    return Look(
        sharpness=_sharpness(grey),
        darkest=low,
        brightest=high,
        contrast=float(grey.std()),
        one_colour=_one_colour(image),
        bars=_bars(grey),
        quality=quality,
        hash=perceptual_hash(values),
        mirrored=perceptual_hash(values[:, ::-1]),
        thumb=thumb.tobytes(),
    )


def _sharpness(grey: Grey) -> float:
    """Sharp in the parts that are sharpest: a portrait before a soft background is no blurred picture."""
    if min(grey.shape) < 3:
        return 0.0
    inner = grey[1:-1, 1:-1]
    edges = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    rows, columns = (min(TILES, side) for side in edges.shape)
    height, width = edges.shape[0] // rows, edges.shape[1] // columns
    tiles = edges[: rows * height, : columns * width].reshape(rows, height, columns, width)
    energy = np.sort(np.square(tiles).mean(axis=(1, 3)).ravel())
    best = float(energy[-max(1, len(energy) // 8) :].mean())
    return math.log2((best + 0.01) / (float(grey.var()) + 1.0))


def _percentiles(light: Image.Image) -> tuple[int, int]:
    """The 2nd and the 98th of the brightness."""
    below = np.cumsum(light.histogram()) / (light.width * light.height)
    return int(np.searchsorted(below, 0.02)), int(np.searchsorted(below, 0.98))


def _one_colour(image: Image.Image) -> float:
    """Pixels in the same sixteenth of each channel as most are; the better of two grids, for colours on a border."""
    few = image if max(image.size) <= 128 else image.resize((128, 128), Image.Resampling.NEAREST)
    pixels = np.asarray(few).astype(np.int32)
    shares = []
    for shift in (0, 8):
        codes = (pixels + shift) >> 4
        flat = (codes[..., 0] * 17 + codes[..., 1]) * 17 + codes[..., 2]
        shares.append(int(np.bincount(flat.ravel()).max()) / flat.size)
    return max(shares)


def _bars(grey: Grey) -> tuple[float, float, float, float]:
    (top, bottom), (left, right) = _ends(grey), _ends(grey.T)
    return top, right, bottom, left


def _ends(lines: Grey) -> tuple[float, float]:
    """Share of the lines that are plain bars, at the beginning and at the end."""
    return _bar(lines), _bar(lines[::-1])


def _bar(lines: Grey) -> float:
    """Of plain lines from the first one on that end in a straight edge as long as the picture.

    Where they end at something small they are a background, and where there are more such lines inside, a pattern.
    """
    level = float(lines[0].mean())
    plain = (np.abs(lines - level) < 10).mean(axis=1) > 0.99
    if plain.all():
        return 0.0
    count, others = int(plain.argmin()), plain[: len(plain) - int(plain[::-1].argmin())]
    if not count or count + 1 >= len(lines) or others[count:].any():
        return 0.0
    edge = float((np.abs(lines[count + 1] - level) > 10).mean())
    return count / len(lines) if edge > 0.6 else 0.0


_BASE = (16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55)
"""The first two rows of the luminance table in annex K of the JPEG standard."""


def _quality(path: Path) -> int | None:
    """Of the tables that the Independent JPEG Group's encoder scales from that of quality 50."""
    with opened(path) as image:
        tables = getattr(image, "quantization", None)
    if not tables or 0 not in tables or len(tables[0]) < 64:
        return None
    scale = sum(tables[0][:16]) / sum(_BASE)
    return round(max(1.0, 100 - 50 * scale if scale <= 1 else 50 / scale))
