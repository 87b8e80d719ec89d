"""Where the faces of a picture are: by a detector that is here, by one that is installed, or as somebody else says."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...dataset.images import open_rgb
from ...errors import DanluError
from ..finding import Subject, named
from .cascade import Box, frontal_faces

DETECTORS = ("photo", "anime", "none")
SIDE = 512
"""Pictures are searched with a longer side of at most this many pixels."""
SMALLEST = 1 / 12
"""Of the longer side: smaller faces are not looked for."""
_LINE = re.compile(r"^\s*(?P<name>.+?)\s*:\s*(?P<numbers>[-+\d.,\s]+)$")

Detector = Callable[[Path], list[Box]]


def detector(kind: str) -> Detector:
    """Boxes in pixels of the upright picture, the largest first.

    Raises DanluError for a kind that there is not, and for "anime" where its package is not installed.
    """
    if kind == "photo":
        return lambda path: _photo(path, path.stat().st_mtime_ns)
    if kind == "anime":
        found = _anime_package()
        return lambda path: _anime(path, found)
    if kind == "none":
        return lambda path: []
    raise DanluError(f"detector: there is no '{kind}'; there are {', '.join(DETECTORS)}.")


@lru_cache(maxsize=20_000)
def _photo(path: Path, _mtime: int) -> list[Box]:
    image, scale = _reduced(path, SIDE)
    smallest = round(max(image.size) * SMALLEST)
    return [_scaled(box, scale) for box in frontal_faces().find(image.convert("L"), smallest)]


def _anime_package() -> Any:
    try:
        return importlib.import_module("animeface")
    except ImportError as error:
        raise DanluError(
            "detector: 'anime' needs the package animeface, which brings its model along and changes nothing else: "
            "pip install animeface, with ComfyUI's Python. Or wire masks of another detector to 'masks'."
        ) from error


def _anime(path: Path, package: Any) -> list[Box]:
    image, scale = _reduced(path, 2 * SIDE)
    places = [found.face.pos for found in package.detect(image) if found.likelihood > 0.5]
    boxes = [_scaled((place.x, place.y, place.width, place.height), scale) for place in places]
    return sorted(boxes, key=lambda box: -box[2] * box[3])


def _reduced(path: Path, side: int) -> tuple[Image.Image, float]:
    """The picture, smaller where it is large, and how many times."""
    whole = open_rgb(path)
    image = whole.copy()
    image.thumbnail((side, side), Image.Resampling.BOX)
    return image, whole.width / image.width


def _scaled(box: Box, scale: float) -> Box:
    left, top, width, height = (round(value * scale) for value in box)
    return left, top, width, height


def boxes_of_masks(masks: Sequence[NDArray[np.float32]], subjects: Sequence[Subject]) -> dict[int, list[Box]]:
    """Boxes around what is white, by subject, the largest first; a mask of nothing: no face.

    Masks (height, width), one for each picture in order; of any size, but of the picture's shape.
    """
    from scipy import ndimage

    if len(masks) != len(subjects):
        raise DanluError(
            f"The input 'masks' has {len(masks)} masks for {len(subjects)} pictures: it needs one for each, in order."
        )
    found = {}
    for mask, subject in zip(masks, subjects, strict=True):
        height, width = subject.picture.size
        across, down = width / mask.shape[1], height / mask.shape[0]
        labels, _ = ndimage.label(mask > 0.5)
        slices = [(rows, columns) for rows, columns in ndimage.find_objects(labels)]
        boxes = [
            (
                round(columns.start * across),
                round(rows.start * down),
                round((columns.stop - columns.start) * across),
                round((rows.stop - rows.start) * down),
            )
            for rows, columns in slices
        ]
        found[subject.number] = sorted(boxes, key=lambda box: -box[2] * box[3])
    return found


def boxes_of_text(text: str, subjects: Sequence[Subject]) -> dict[int, list[Box]]:
    """Lines like "cat.png: 10, 20, 64, 64" (left, top, width, height in pixels; "#3:" names a picture by its number).

    Raises DanluError for a line that says something else, a picture that is not there and a box outside of it.
    """
    by_name: dict[str, Subject] = {}
    for subject in subjects:
        by_name.setdefault(subject.picture.name, subject)
        by_name.setdefault(Path(subject.picture.name).name, subject)
        by_name[f"#{subject.number}"] = subject
    found: dict[int, list[Box]] = {}
    for line in filter(str.strip, text.splitlines()):
        match = _LINE.match(line)
        numbers = re.findall(r"-?\d+(?:\.\d+)?", match["numbers"]) if match else []
        if match is None or len(numbers) != 4:
            raise DanluError(f"boxes: {line.strip()!r} is no box. Write a line like: cat.png: 10, 20, 64, 64")
        if match["name"] not in by_name:
            raise DanluError(f"boxes: there is no picture {match['name']!r}. There are {named(subjects)}.")
        subject = by_name[match["name"]]
        left, top, width, height = (round(float(number)) for number in numbers)
        tall, wide = subject.picture.size
        if width < 1 or height < 1 or left < 0 or top < 0 or left + width > wide or top + height > tall:
            raise DanluError(f"boxes: {line.strip()!r} is not inside the picture, which has {wide}x{tall} pixels.")
        found.setdefault(subject.number, []).append((left, top, width, height))
    return found
