"""Which size each picture is trained at.

As in kohya's trainers, a resolution stands for an area (1024 means about 1024 x 1024 pixels), pictures keep their
shape, sides are multiples of a step, and nothing is enlarged unless asked: a small picture gets a bucket of its
own size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..errors import DanluError
from .data import Size

AUTO_RESOLUTION = 1024
LARGEST_RESOLUTION = 4096
LONGEST_SHAPE = 4.0
"""A bucket is at most this many times as long as it is wide; longer pictures are cropped."""
PATCH = 2
"""Diffusion transformers read latents in patches of 2 x 2, so sides are multiples of two latent pixels."""


@dataclass(frozen=True)
class Fit:
    """How one picture becomes one training picture: resized to cover, cropped in the middle."""

    resized: Size
    crop: Size
    """(top, left) in the resized picture."""
    target: Size

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom), as Pillow wants it."""
        (top, left), (height, width) = self.crop, self.target
        return left, top, left + width, top + height


@dataclass(frozen=True)
class Buckets:
    """The sizes of one resolution."""

    resolution: int
    step: int
    unit: int
    """No side is ever anything but a multiple of this."""
    upscale_small: bool = False

    def fit(self, original: Size) -> Fit | None:
        """None: the picture is smaller than anything that can be trained."""
        target = self._target(original)
        return None if target is None else cover(original, target)

    def _target(self, original: Size) -> Size | None:
        options = buckets_of(self.resolution, self.step)
        if not self.upscale_small:
            options = [(h, w) for h, w in options if h <= original[0] and w <= original[1]]
        if options:
            # A picture much smaller than the area fits only thin buckets: those are no use.
            best = min(options, key=lambda size: (_shape_difference(original, size), -size[0] * size[1]))
            if _shape_difference(original, best) <= self._worst_difference(original):
                return best
        return self._own_size(original)

    def _worst_difference(self, original: Size) -> float:
        """What the best bucket of all would crop, and a little more."""
        every = buckets_of(self.resolution, self.step)
        return min(_shape_difference(original, size) for size in every) + 0.1

    def _own_size(self, original: Size) -> Size | None:
        """The picture's own size rounded down; the step shrinks with it, else a third of it might be cropped."""
        step = self.step
        while step % 2 == 0 and step // 2 >= self.unit and step > min(original) // 8:
            step //= 2
        step = max(self.unit, step // self.unit * self.unit)
        height, width = _within(original, self.resolution)
        height, width = height // step * step, width // step * step
        return (height, width) if height and width else None


def cover(original: Size, target: Size) -> Fit:
    """Scaled so that it just covers the target, cropped in the middle."""
    scale = max(target[0] / original[0], target[1] / original[1])
    resized = (
        max(target[0], round(original[0] * scale)),
        max(target[1], round(original[1] * scale)),
    )
    crop = ((resized[0] - target[0]) // 2, (resized[1] - target[1]) // 2)
    return Fit(resized, crop, target)


@lru_cache(maxsize=64)
def buckets_of(resolution: int, step: int) -> list[Size]:
    """All sizes of about the resolution's area, each side a multiple of the step."""
    area = resolution * resolution
    sizes = set()
    for width in range(step, int(resolution * math.sqrt(LONGEST_SHAPE)) + 1, step):
        height = area // width // step * step
        if height and max(width, height) <= LONGEST_SHAPE * min(width, height):
            sizes.update({(height, width), (width, height)})
    return sorted(sizes)


def parse_resolutions(text: str, originals: Sequence[Size], native: int, unit: int) -> tuple[int, ...]:
    """Reads `auto`, `512` or `512,768,1024`."""
    words = [word for word in text.replace(";", ",").replace(" ", ",").split(",") if word]
    if not words or [word.lower() for word in words] == ["auto"]:
        return (auto_resolution(originals, native, unit),)
    try:
        numbers = sorted({int(word) for word in words})
    except ValueError as error:
        raise DanluError(
            f"The input 'resolution' is {text!r}. Write auto, one number such as 512, or several such as 512,768,1024."
        ) from error
    for number in numbers:
        if not unit <= number <= LARGEST_RESOLUTION:
            raise DanluError(f"The input 'resolution' has {number}; it can be from {unit} to {LARGEST_RESOLUTION}.")
    return tuple(numbers)


def auto_resolution(originals: Iterable[Size], native: int, unit: int) -> int:
    """The model's own resolution, or less where half of the pictures have less."""
    sides = sorted(math.sqrt(height * width) for height, width in originals)
    middle = sides[len(sides) // 2] if sides else native
    if middle >= native:
        return native
    step = 64 if middle >= 256 else unit
    return max(unit, int(middle) // step * step)


def step_for(resolution: int, bucket_step: int, factor: int) -> tuple[int, int]:
    """(step, unit) for a resolution: small resolutions need small steps, or every picture would be a square."""
    if bucket_step % factor:
        raise DanluError(
            f"The input 'bucket_step' is {bucket_step}, but this VAE needs a multiple of {factor}. "
            f"Set it to {max(1, round(bucket_step / factor)) * factor}."
        )
    unit = PATCH * factor if bucket_step % (PATCH * factor) == 0 else factor
    step = bucket_step
    while step % 2 == 0 and step > resolution // 8 and step // 2 >= unit and step // 2 % unit == 0:
        step //= 2
    return step, unit


def _within(original: Size, resolution: int) -> Size:
    """The picture scaled down to the resolution's area and to the longest shape, if it is larger."""
    height, width = original
    height, width = min(height, int(width * LONGEST_SHAPE)), min(width, int(height * LONGEST_SHAPE))
    scale = min(1.0, resolution / math.sqrt(height * width))
    return int(height * scale), int(width * scale)


def _shape_difference(one: Size, other: Size) -> float:
    return abs(math.log(one[0] / one[1]) - math.log(other[0] / other[1]))
