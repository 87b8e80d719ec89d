"""Creatures: bodies with eyes and marks, drawn as vectors.

The base model sees many random ones under made-up words, so that it knows what eyes, marks and unnamed colours
look like; it never sees the teal and pink ones, which the demo's character is made of.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from .world import RGB, SIDE, Placement, Point, Scene, draw_background, place_points, sample_placement, shrink

TEAL: RGB = (18, 156, 148)
PINK: RGB = (248, 120, 184)
SYLLABLES = (
    "ba",
    "bi",
    "do",
    "du",
    "fa",
    "go",
    "ka",
    "ki",
    "lo",
    "mi",
    "mo",
    "nu",
    "pi",
    "ra",
    "ru",
    "so",
    "ta",
)


@dataclass(frozen=True)
class Look:
    """All that makes one creature; lengths in units of its radius."""

    body: tuple[Point, ...]
    body_rgb: RGB
    mark_rgb: RGB
    marks: tuple[tuple[float, float, float, float], ...]
    eyes: tuple[Point, ...]
    eye_radius: float
    eye_rgb: RGB = (250, 250, 250)
    pupil_rgb: RGB = (24, 20, 28)


def ellipse(x: float, y: float, rx: float, ry: float, n: int = 40) -> list[Point]:
    return [(x + rx * cos(2 * pi * i / n), y + ry * sin(2 * pi * i / n)) for i in range(n)]


def draw_creature(image: Image.Image, look: Look, spot: Placement) -> None:
    draw = ImageDraw.Draw(image)

    def fill(points: list[Point], rgb: RGB) -> None:
        draw.polygon(place_points(points, spot, image.width), fill=rgb)

    fill(list(look.body), look.body_rgb)
    for x, y, rx, ry in look.marks:
        fill(ellipse(x, y, rx, ry), look.mark_rgb)
    for x, y in look.eyes:
        fill(ellipse(x, y, look.eye_radius, look.eye_radius), look.eye_rgb)
        fill(ellipse(x, y, look.eye_radius * 0.55, look.eye_radius * 0.55), look.pupil_rgb)


def render_creature(look: Look, scene: Scene, rng: np.random.RandomState, side: int = SIDE) -> Image.Image:
    """The scene's colour and shape are not used: the look says both."""
    image = draw_background(rng, scene.background, scene.pattern, side)
    draw_creature(image, look, sample_placement(rng, scene.size, scene.place))
    return shrink(image)


def cauldron() -> tuple[Point, ...]:
    """The character's own outline: a round pot with two pointed ears and two stout legs."""
    right = [
        (0.0, -0.56), (0.30, -0.60), (0.46, -1.0), (0.74, -0.46), (0.93, -0.02), (0.90, 0.34), (0.72, 0.62),
        (0.62, 0.98), (0.22, 0.98), (0.20, 0.74), (0.0, 0.74),
    ]  # fmt: skip
    return tuple(right + [(-x, y) for x, y in reversed(right)])


DANTONG = Look(
    body=cauldron(),
    body_rgb=TEAL,
    mark_rgb=PINK,
    marks=((0.0, 0.42, 0.46, 0.26),),
    eyes=((-0.36, -0.16), (0.36, -0.16)),
    eye_radius=0.28,
)


def random_colour(rng: np.random.RandomState, everything: bool = False) -> RGB:
    """Any colour but teal-like and pink-like ones, which stay the character's, unless `everything` goes."""
    while True:
        hue, saturation, value = rng.uniform(0, 1), rng.uniform(0.25, 1), rng.uniform(0.3, 1)
        if everything or not 0.40 < hue < 0.60 and not 0.80 < hue < 0.99:
            return tuple(round(255 * c) for c in colorsys.hsv_to_rgb(hue, saturation, value))  # type: ignore


def random_body(rng: np.random.RandomState) -> tuple[Point, ...]:
    waves = [(k, rng.uniform(0, 0.5 / k), rng.uniform(0, 2 * pi)) for k in (2, 3, 4, 5)]
    angles = [2 * pi * i / 60 for i in range(60)]
    reach = [1 + sum(a * cos(k * t + p) for k, a, p in waves) for t in angles]
    scale = 0.98 / max(reach)
    return tuple((r * scale * cos(t), r * scale * sin(t)) for r, t in zip(reach, angles, strict=True))


def random_look(rng: np.random.RandomState, everything: bool = False) -> Look:
    marks = tuple(
        (rng.uniform(-0.5, 0.5), rng.uniform(-0.1, 0.55), rng.uniform(0.1, 0.35), rng.uniform(0.1, 0.25))
        for _ in range(rng.randint(0, 4))
    )
    apart, height = rng.uniform(0.2, 0.4), rng.uniform(-0.4, 0.0)
    eyes = ((-apart, height), (apart, height)) if rng.uniform() < 0.8 else ((0.0, height),)
    return Look(random_body(rng), random_colour(rng), random_colour(rng), marks, eyes, rng.uniform(0.12, 0.26))


def made_up_word(rng: np.random.RandomState) -> str:
    return "".join(SYLLABLES[rng.randint(len(SYLLABLES))] for _ in range(rng.randint(2, 4)))
