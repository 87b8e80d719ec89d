"""How far a picture is from "the character, at the asked place and size, on the asked background": 0 to 1.

Fixed before any LoRA was trained. Two scores between 0 and 1 are multiplied, and the distance is one minus the
product: so it is small only where the looks are right *and* the prompt was followed.

* character: the picture is compared with a drawing of the character at the asked place and size, moved and scaled
  by no more than the world's own jitter. Each part (body, marks, eyes, pupils) counts by how near its pixels'
  colours are, the rim around the outline by how much of it is not character.
* background: away from the character, how near the pixels are to the asked colour's tones, and whether the share
  of the second tone is that of the asked pattern.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from .checker import along_tones, pixels
from .creature import DANTONG, Look, ellipse
from .world import Placement, Scene, nominal, place_points

PART_WEIGHTS = {"body": 0.40, "marks": 0.20, "eyes": 0.15, "pupils": 0.05, "rim": 0.20}
COLOUR_TOLERANCE = 65.0
SHARES = {"plain": 0.0, "dotted": 0.25, "striped": 0.5}
SHARE_TOLERANCE = 0.12
TONE_TOLERANCE = 45.0
SHIFTS = (-0.04, -0.02, 0.0, 0.02, 0.04)
SCALES = (0.95, 0.975, 1.0, 1.025, 1.05)
ANGLES = (-0.15, -0.08, 0.0, 0.08, 0.15)
CHARACTER_RANGE = (0.40, 0.85)
BACKGROUND_RANGE = (0.30, 0.85)


@dataclass(frozen=True)
class Scores:
    character: float
    background: float

    @property
    def distance(self) -> float:
        return 1.0 - self.character * self.background


def part_masks(look: Look, spot: Placement, side: int) -> dict[str, np.ndarray]:
    """Where each part is seen: later parts hide earlier ones."""
    canvas = Image.new("L", (side, side))
    draw = ImageDraw.Draw(canvas)

    def fill(points, value: int) -> None:
        draw.polygon(place_points(list(points), spot, side), fill=value)

    fill(look.body, 1)
    for x, y, rx, ry in look.marks:
        fill(ellipse(x, y, rx, ry), 2)
    for x, y in look.eyes:
        fill(ellipse(x, y, look.eye_radius, look.eye_radius), 3)
        fill(ellipse(x, y, look.eye_radius * 0.55, look.eye_radius * 0.55), 4)
    drawn = np.asarray(canvas)
    return {name: drawn == value for value, name in enumerate(("none", "body", "marks", "eyes", "pupils"))}


def nearness(picture: np.ndarray, rgb: tuple[int, int, int]) -> np.ndarray:
    """1 where a pixel or one beside it has the colour, falling as a bell with the distance: a blurred edge or a
    part that is one pixel off costs little."""
    away = np.linalg.norm(picture - np.array(rgb, np.float32), axis=-1)
    return ndimage.maximum_filter(np.exp(-((away / COLOUR_TOLERANCE) ** 2)), 3)


@dataclass(frozen=True)
class Maps:
    """Per pixel: how near it is to each part's colour, and to the asked background."""

    near: dict[str, np.ndarray]
    background: np.ndarray


def make_maps(picture: np.ndarray, look: Look, scene: Scene) -> Maps:
    colours = {"body": look.body_rgb, "marks": look.mark_rgb, "eyes": look.eye_rgb, "pupils": look.pupil_rgb}
    away = along_tones(picture, scene.background)[0]
    return Maps(
        {name: nearness(picture, rgb) for name, rgb in colours.items()}, np.exp(-((away / TONE_TOLERANCE) ** 2))
    )


def character_at(maps: Maps, look: Look, spot: Placement) -> float:
    """The mean agreement of parts and rim with the character drawn at `spot`, before the range is applied."""
    side = maps.background.shape[0]
    masks = part_masks(look, spot, side)
    outside = masks["none"]
    rim_width = max(2, round(0.3 * spot.radius * side))
    near_outline = ndimage.distance_transform_cdt(outside, "chessboard") <= rim_width + 2
    inner = ndimage.distance_transform_cdt(outside, "chessboard") > 2
    rim = outside & near_outline & inner
    total = 0.0
    for name, weight in PART_WEIGHTS.items():
        where = rim if name == "rim" else masks[name]
        values = maps.background if name == "rim" else maps.near[name]
        total += weight * (float(values[where].mean()) if where.any() else 0.0)
    return total


def fit(maps: Maps, look: Look, scene: Scene) -> tuple[float, Placement]:
    """The best agreement among placements that the words allow: first moved, then scaled, then turned."""
    start = nominal(scene.size, scene.place)
    moved = [Placement(start.x + dx, start.y + dy, start.radius) for dx in SHIFTS for dy in SHIFTS]
    best = max((character_at(maps, look, spot), i, spot) for i, spot in enumerate(moved))[2]
    for name, values in (("radius", [best.radius * s for s in SCALES]), ("angle", list(ANGLES))):
        options = [Placement(**{**vars(best), name: value}) for value in values]
        best = max((character_at(maps, look, spot), i, spot) for i, spot in enumerate(options))[2]
    near = [
        Placement(best.x + dx, best.y + dy, best.radius, best.angle)
        for dx in (-0.01, 0, 0.01)
        for dy in (-0.01, 0, 0.01)
    ]
    score, _, best = max((character_at(maps, look, spot), i, spot) for i, spot in enumerate(near))
    return score, best


def stretched(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    return float(np.clip((value - low) / (high - low), 0, 1))


def background_score(picture: np.ndarray, maps: Maps, scene: Scene, spot: Placement) -> float:
    side = picture.shape[0]
    ys, xs = np.mgrid[0:side, 0:side] / side
    free = (ys - spot.y) ** 2 + (xs - spot.x) ** 2 > (1.25 * spot.radius) ** 2
    tone = stretched(float(maps.background[free].mean()), BACKGROUND_RANGE)
    share = float((along_tones(picture, scene.background)[1][free] > 0.5).mean())
    return tone * float(np.exp(-(((share - SHARES[scene.pattern]) / SHARE_TOLERANCE) ** 2)))


def scores(image: Image.Image, scene: Scene, look: Look = DANTONG) -> Scores:
    picture = pixels(image)
    maps = make_maps(picture, look, scene)
    agreement, spot = fit(maps, look, scene)
    return Scores(stretched(agreement, CHARACTER_RANGE), background_score(picture, maps, scene, spot))


def distance(image: Image.Image, scene: Scene) -> float:
    """The scene says size, place, background and pattern; its colour and shape are not looked at."""
    return scores(image, scene).distance
