"""Edit pairs: how much changes from before to after, and whether the two lie on each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..dataset.images import UnreadableImage, open_rgb
from ..dataset.model import counted, listed
from .finding import Finding, Severity, Subject, about

SIDE = 256
COARSE = 128
"""Side of the copies that a shift is found in."""
VISIBLE = 14.0
"""Difference of brightness or colour, of 255, that is more than noise of saving and resizing."""
NOTHING, LITTLE = 0.002, 0.01
STRONG, STRONG_AREA = 0.10, 0.4
SHIFTED = 0.015
"""Share of a side."""
SHAPE = 0.03

Pixels: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class PairLook:
    difference: float
    """Mean absolute difference, 0 to 1, of the after and the first before at the after's size."""
    changed: float
    """Share of the pixels that differ visibly."""
    shift: float
    """How far the before has to be moved to lie on the after, as a share of a side; 0 where moving does not help."""
    shape: float
    """How much longer one is than the other, as a share."""


def look_at_pair(after: Path, before: Path) -> PairLook:
    """Raises UnreadableImage."""
    try:
        times = after.stat().st_mtime_ns, before.stat().st_mtime_ns
    except OSError as error:
        raise UnreadableImage(f"{before.name} cannot be read any more ({error.strerror})") from error
    return _look(after, before, times)


@lru_cache(maxsize=20_000)
def _look(after: Path, before: Path, _times: tuple[int, int]) -> PairLook:
    return compared(open_rgb(after, SIDE), open_rgb(before, SIDE))


def compared(after: Image.Image, before: Image.Image) -> PairLook:
    shape = abs(math.log(after.width / after.height) - math.log(before.width / before.height))
    small = after.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    like = before.resize(small.size, Image.Resampling.BOX)
    apart = np.abs(np.asarray(small, dtype=np.float32) - np.asarray(like, dtype=np.float32))
    return PairLook(
        difference=float(apart.mean()) / 255,
        changed=float((apart.max(axis=2) > VISIBLE).mean()),
        shift=_shift(_coarse(after), _coarse(before)),
        shape=shape,
    )


def _coarse(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("L").resize((COARSE, COARSE), Image.Resampling.BOX), dtype=np.float32)


def _shift(after: Pixels, before: Pixels) -> float:
    """By phase correlation (Kuglin, Hines 1975); it counts only where it takes away a third of the difference."""
    product = np.fft.rfft2(after - after.mean()) * np.conj(np.fft.rfft2(before - before.mean()))
    peak = int(np.fft.irfft2(product / (np.abs(product) + 1e-3), s=after.shape).argmax())
    down, right = ((place + COARSE // 2) % COARSE - COARSE // 2 for place in divmod(peak, COARSE))
    if max(abs(down), abs(right)) > COARSE // 4 or (down, right) == (0, 0):
        return 0.0
    moved = _overlap(after, down, right) - _overlap(before, -down, -right)
    still = _overlap(after, down, right) - _overlap(before, down, right)
    gained = float(np.abs(moved).mean()) < 0.67 * float(np.abs(still).mean())
    return max(abs(down), abs(right)) / COARSE if gained else 0.0


def _overlap(values: Pixels, down: int, right: int) -> Pixels:
    """Without the lines that come in when it is moved."""
    height, width = values.shape
    return values[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]


def pair_looks(subjects: Sequence[Subject], check: Callable[[], None]) -> tuple[dict[int, PairLook], list[Finding]]:
    """By a subject's number; and those befores that cannot be read."""
    looks: dict[int, PairLook] = {}
    broken: list[str] = []
    for subject in subjects:
        if not subject.picture.befores or subject.picture.clip:
            continue
        check()
        try:
            looks[subject.number] = look_at_pair(subject.picture.path, subject.picture.befores[0])
        except UnreadableImage as error:
            broken.append(f"#{subject.number} {subject.picture.befores[0].name} ({error})")
    text = f"Befores that cannot be read: {listed(broken)}"
    remedy = "Replace these files."
    return looks, [Finding("broken", Severity.PROBLEM, (), text, remedy)] if broken else []


def pairs(subjects: Sequence[Subject], looks: Mapping[int, PairLook]) -> Iterator[Finding]:
    seen = [(s, looks[s.number]) for s in subjects if s.number in looks]
    if not seen:
        return
    same = [s for s, look in seen if look.difference < NOTHING]
    yield from about(
        "no difference",
        Severity.PROBLEM,
        same,
        "the same before and after",
        "Replace or delete these pairs: they teach to leave pictures as they are.",
    )
    moved = [s for s, look in seen if look.shift > SHIFTED]
    yield from about(
        "shifted",
        Severity.WARNING,
        moved,
        "that do not lie on their befores",
        "Align the two: the LoRA learns to move the picture.",
    )
    other = [s for s, look in seen if look.shape > SHAPE]
    yield from about(
        "other shape",
        Severity.WARNING,
        other,
        "of another shape than their befores",
        "Crop the two alike, so that the same things are in both.",
    )
    yield from _strengths([look for _, look in seen if look.difference >= NOTHING])


def _strengths(looks: Sequence[PairLook]) -> Iterator[Finding]:
    """Of the set as a whole."""
    if not looks:
        return
    middle, least = median(look.difference for look in looks), min(look.difference for look in looks)
    area = min(look.changed for look in looks)
    told = f"before and after differ by {middle:.1%} in the middle of the set, {least:.1%} at least"
    if middle < LITTLE:
        yield Finding(
            "little difference",
            Severity.WARNING,
            (),
            f"{counted(len(looks), 'pair')} with hardly any change: {told}.",
            "Use stronger befores, or give a mask of what changes: such a LoRA learns to do nothing.",
        )
    elif len(looks) > 1 and least > STRONG and area > STRONG_AREA:
        yield Finding(
            "strong only",
            Severity.WARNING,
            (),
            f"All {len(looks)} pairs change strongly: {told}, over {area:.0%} of the picture or more.",
            "Right for a new style. Where the befores have flaws to be mended, add mild ones too: a LoRA that has "
            "seen exaggerated flaws only leaves mild ones as they are, or overdoes it.",
        )
    else:
        yield Finding("pairs", Severity.NOTE, (), f"{counted(len(looks), 'pair')}: {told}.", "Nothing to do.")
