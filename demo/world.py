"""The picture world that the bundled base model is pretrained on.

One object on a background, drawn by Pillow from `numpy.random.RandomState`, whose stream is frozen: the same
seed gives the same scene, caption and picture on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

SIDE = 128
OVERSAMPLE = 3

RGB = tuple[int, int, int]
Point = tuple[float, float]

COLOURS: dict[str, RGB] = {
    "red": (214, 38, 38),
    "green": (36, 150, 54),
    "blue": (40, 76, 216),
    "yellow": (242, 214, 40),
    "purple": (136, 48, 176),
    "orange": (244, 132, 24),
    "white": (246, 246, 246),
    "black": (20, 20, 22),
}
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross", "heart")
PATTERNS = ("plain", "striped", "dotted")
RADIUS = {"small": 0.17, "medium": 0.24, "large": 0.32}
PLACES: dict[str, Point] = {
    "centre": (0, 0),
    "left": (-1, 0),
    "right": (1, 0),
    "top": (0, -1),
    "bottom": (0, 1),
    "top left": (-1, -1),
    "top right": (1, -1),
    "bottom left": (-1, 1),
    "bottom right": (1, 1),
}
SIZES = tuple(RADIUS)
PLACE_JITTER = 0.02
RADIUS_JITTER = 0.05
MARGIN = 0.03
FAR = 0.28


@dataclass(frozen=True)
class Scene:
    colour: str
    shape: str
    background: str
    pattern: str
    size: str
    place: str


@dataclass(frozen=True)
class Placement:
    """Where the object really is, in fractions of the side: the word's place and size with jitter."""

    x: float
    y: float
    radius: float
    angle: float = 0.0


def is_held_out(colour: str, shape: str, background: str) -> bool:
    """About one triple in eleven is never seen in pretraining; this rule alone says which."""
    names = list(COLOURS)
    return (3 * names.index(colour) + 5 * SHAPES.index(shape) + 7 * names.index(background)) % 11 == 0


def pick(rng: np.random.RandomState, options) -> str:
    return options[rng.randint(len(options))]


def sample_scene(rng: np.random.RandomState, held_out: bool = False) -> Scene:
    names = tuple(COLOURS)
    while True:
        colour, shape, background = pick(rng, names), pick(rng, SHAPES), pick(rng, names)
        if colour != background and is_held_out(colour, shape, background) == held_out:
            break
    return Scene(colour, shape, background, pick(rng, PATTERNS), pick(rng, SIZES), pick(rng, tuple(PLACES)))


def nominal(size: str, place: str) -> Placement:
    radius = RADIUS[size]
    reach = min(FAR, 0.5 - radius - MARGIN)
    dx, dy = PLACES[place]
    return Placement(0.5 + dx * reach, 0.5 + dy * reach, radius)


def sample_placement(rng: np.random.RandomState, size: str, place: str) -> Placement:
    spot = nominal(size, place)
    dx, dy = rng.uniform(-PLACE_JITTER, PLACE_JITTER, 2)
    radius = spot.radius * (1 + rng.uniform(-RADIUS_JITTER, RADIUS_JITTER))
    return Placement(spot.x + dx, spot.y + dy, radius, rng.uniform(-0.15, 0.15))


def describe(subject: str, scene: Scene, mention: frozenset[str]) -> str:
    """The caption grammar: [size] subject [on a [pattern] colour background][, place]."""
    text = f"a {scene.size} {subject}" if "size" in mention else f"a {subject}"
    if "background" in mention:
        pattern = f"{scene.pattern} " if "pattern" in mention else ""
        text += f" on a {pattern}{scene.background} background"
    return text + (f", {scene.place}" if "place" in mention else "")


FULL = frozenset({"size", "background", "pattern", "place"})


def caption(scene: Scene, mention: frozenset[str] = FULL) -> str:
    return describe(f"{scene.colour} {scene.shape}", scene, mention)


def sample_mention(rng: np.random.RandomState) -> frozenset[str]:
    """What is not mentioned is random in the picture, so the model learns to fill it in."""
    chance = {"size": 0.8, "background": 0.92, "pattern": 0.88, "place": 0.8}
    return frozenset(name for name, p in chance.items() if rng.uniform() < p)


def sample_subject(rng: np.random.RandomState, scene: Scene) -> str:
    """Now and then the colour or the shape goes without saying."""
    draw = rng.uniform()
    if draw < 0.05:
        return scene.shape
    return f"{scene.colour} thing" if draw < 0.08 else f"{scene.colour} {scene.shape}"


def mix(a: RGB, b: RGB, amount: float) -> RGB:
    return tuple(round(x * (1 - amount) + y * amount) for x, y in zip(a, b, strict=True))  # type: ignore


def second_tone(rgb: RGB) -> RGB:
    """The tone of stripes and dots: lighter on dark colours, darker on light ones."""
    light = 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2]
    return mix(rgb, (0, 0, 0), 0.24) if light > 175 else mix(rgb, (255, 255, 255), 0.34)


def jitter(rng: np.random.RandomState, rgb: RGB, amount: int = 6) -> RGB:
    shift = rng.randint(-amount, amount + 1, 3)
    return tuple(int(np.clip(c + s, 0, 255)) for c, s in zip(rgb, shift, strict=True))  # type: ignore


PERIOD = 0.125
"""Of stripes and dots, in sides. They lie the same in every picture: what no caption says and every seed draws
anew could not be told from a change that a LoRA makes."""


def draw_stripes(draw: ImageDraw.ImageDraw, tone: RGB, side: int) -> None:
    period = PERIOD * side
    for k in range(round(1 / PERIOD)):
        draw.rectangle([k * period, 0, (k + 0.5) * period - 1, side], fill=tone)


def draw_dots(draw: ImageDraw.ImageDraw, tone: RGB, side: int) -> None:
    period = PERIOD * side
    r = 0.28 * period
    for i in range(round(1 / PERIOD)):
        for j in range(round(1 / PERIOD)):
            x, y = (i + 0.5) * period, (j + 0.5) * period
            draw.ellipse([x - r, y - r, x + r, y + r], fill=tone)


def draw_background(rng: np.random.RandomState, background: str, pattern: str, side: int = SIDE) -> Image.Image:
    """A picture at `OVERSAMPLE` times `side`."""
    big = side * OVERSAMPLE
    rgb = jitter(rng, COLOURS[background])
    image = Image.new("RGB", (big, big), rgb)
    if pattern == "striped":
        draw_stripes(ImageDraw.Draw(image), second_tone(rgb), big)
    elif pattern == "dotted":
        draw_dots(ImageDraw.Draw(image), second_tone(rgb), big)
    return image


def polar(n: int, radius, start: float = -pi / 2) -> list[Point]:
    return [(radius(i) * cos(start + 2 * pi * i / n), radius(i) * sin(start + 2 * pi * i / n)) for i in range(n)]


def heart_points() -> list[Point]:
    ts = np.linspace(0, 2 * pi, 72, endpoint=False)
    return [
        (sin(t) ** 3 * 0.98, -(13 * cos(t) - 5 * cos(2 * t) - 2 * cos(3 * t) - cos(4 * t)) / 15.5 + 0.05) for t in ts
    ]


def cross_points() -> list[Point]:
    a, b = 0.32, 0.95
    quarter = [(a, -b), (a, -a), (b, -a)]
    points: list[Point] = []
    for k in range(4):
        c, s = round(cos(k * pi / 2)), round(sin(k * pi / 2))
        points += [(x * c - y * s, x * s + y * c) for x, y in quarter]
    return points


def outline(shape: str) -> list[Point]:
    """The outer line of a shape whose radius is one."""
    if shape == "square":
        return [(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)]
    if shape == "triangle":
        return [(0, -0.95), (0.98, 0.75), (-0.98, 0.75)]
    if shape == "star":
        return polar(10, lambda i: 1.05 if i % 2 == 0 else 0.45)
    if shape == "cross":
        return cross_points()
    if shape == "heart":
        return heart_points()
    return polar(72, lambda i: 0.93)


def place_points(points: list[Point], spot: Placement, side: int) -> list[Point]:
    c, s = cos(spot.angle) * spot.radius * side, sin(spot.angle) * spot.radius * side
    return [(spot.x * side + x * c - y * s, spot.y * side + x * s + y * c) for x, y in points]


def draw_shape(image: Image.Image, shape: str, rgb: RGB, spot: Placement) -> None:
    mask = Image.new("L", image.size, 0)
    draw = ImageDraw.Draw(mask)
    draw.polygon(place_points(outline(shape), spot, image.width), fill=255)
    if shape == "ring":
        hole = [(x * 0.52, y * 0.52) for x, y in outline("ring")]
        draw.polygon(place_points(hole, spot, image.width), fill=0)
    image.paste(rgb, (0, 0), mask)


def shrink(image: Image.Image) -> Image.Image:
    return image.resize((image.width // OVERSAMPLE, image.height // OVERSAMPLE), Image.Resampling.BOX)


def render(scene: Scene, rng: np.random.RandomState, side: int = SIDE) -> Image.Image:
    image = draw_background(rng, scene.background, scene.pattern, side)
    spot = sample_placement(rng, scene.size, scene.place)
    draw_shape(image, scene.shape, jitter(rng, COLOURS[scene.colour]), spot)
    return shrink(image)
