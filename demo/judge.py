"""What the demo measures: does the LoRA draw the character where it is asked, and nowhere else?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from PIL import Image

from .dataset import character_caption, evaluation_scenes
from .distance import distance
from .evaluate import evaluation_scenes as world_scenes
from .render import Shot
from .world import Scene, caption

TRIGGERED, PLAIN = 32, 16
SEED = 7000


def triggered_scenes() -> list[Scene]:
    """Backgrounds, and places at their sizes, that the dataset does not show."""
    return evaluation_scenes(TRIGGERED)


def triggered_shots(strength: float) -> list[Shot]:
    return [Shot(character_caption(s), SEED + i, strength) for i, s in enumerate(triggered_scenes())]


def plain_scenes() -> list[Scene]:
    return world_scenes(PLAIN, SEED, held_out=False)


def plain_shots(strength: float) -> list[Shot]:
    """Prompts of the world without the trigger."""
    return [Shot(caption(s), SEED + 500 + i, strength) for i, s in enumerate(plain_scenes())]


@dataclass(frozen=True)
class Verdict:
    base_distance: float
    """0: the character, where and on what was asked; 1: nothing of it (see `distance`). Mean over the prompts."""
    lora_distance: float
    triggered_change: float
    """Mean absolute difference of pixels (0 to 1) that the LoRA makes where the trigger stands."""
    leak: float
    """The same where it does not."""


def mean_distance(pictures: Sequence[Image.Image]) -> float:
    return fmean(distance(p, s) for p, s in zip(pictures, triggered_scenes(), strict=True))


def mean_change(before: Sequence[Image.Image], after: Sequence[Image.Image]) -> float:
    pairs = zip(before, after, strict=True)
    return fmean(float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean()) / 255 for a, b in pairs)


def judge(base: Sequence[Image.Image], lora: Sequence[Image.Image]) -> Verdict:
    """Both: the pictures of `triggered_shots` followed by those of `plain_shots`."""
    return Verdict(
        base_distance=mean_distance(base[:TRIGGERED]),
        lora_distance=mean_distance(lora[:TRIGGERED]),
        triggered_change=mean_change(base[:TRIGGERED], lora[:TRIGGERED]),
        leak=mean_change(base[TRIGGERED:], lora[TRIGGERED:]),
    )
