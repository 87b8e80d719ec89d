"""Before/after pairs for the edit demo: a picture of the world, and the same one dirty.

`python -m demo.edit_pairs` writes `demo/edit/before/01.png` and `demo/edit/after/01.png`, … again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .world import OVERSAMPLE, RGB, SIDE, render, sample_scene, shrink

FOLDER = Path(__file__).parent / "edit"
COUNT = 24
SEED = 210
INSTRUCTION = "clean the picture"
DIRT: tuple[RGB, ...] = ((92, 70, 40), (58, 52, 44), (120, 96, 60), (74, 84, 52))
DUST, SCRATCH = (28, 24, 20), (214, 206, 190)
Pair = tuple[Image.Image, Image.Image]


def draw_pair(rng: np.random.RandomState, held_out: bool = False) -> Pair:
    """(before, after)."""
    after = render(sample_scene(rng, held_out), rng)
    return dirtied(after, rng), after


def draw_pairs(count: int = COUNT, seed: int = SEED, held_out: bool = False) -> list[Pair]:
    rng = np.random.RandomState(seed)
    return [draw_pair(rng, held_out) for _ in range(count)]


def unseen_pairs(count: int, seed: int = SEED + 1) -> list[Pair]:
    """Of colours, shapes and backgrounds that neither the pairs nor the base model's pictures show together."""
    return draw_pairs(count, seed, held_out=True)


def dirtied(image: Image.Image, rng: np.random.RandomState) -> Image.Image:
    """Blotches that are partly see-through, scratches, and specks of dust, anywhere."""
    big = image.resize((SIDE * OVERSAMPLE, SIDE * OVERSAMPLE), Image.Resampling.LANCZOS)
    for _ in range(rng.randint(4, 8)):
        _blotch(big, rng)
    for _ in range(rng.randint(3, 6)):
        _scratch(big, rng)
    _specks(big, rng, rng.randint(25, 45))
    return shrink(big)


def _blotch(image: Image.Image, rng: np.random.RandomState) -> None:
    side = image.width
    x, y = rng.uniform(0.05, 0.95, 2) * side
    reach, turns = rng.uniform(0.06, 0.14) * side, rng.uniform(0.6, 1.4, 12)
    angles = 2 * np.pi * np.arange(12) / 12
    points = [(x + reach * r * np.cos(a), y + reach * r * np.sin(a)) for a, r in zip(angles, turns, strict=True)]
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).polygon(points, fill=round(255 * rng.uniform(0.6, 0.9)))
    image.paste(DIRT[rng.randint(len(DIRT))], (0, 0), mask.filter(ImageFilter.GaussianBlur(OVERSAMPLE)))


def _scratch(image: Image.Image, rng: np.random.RandomState) -> None:
    side = image.width
    x, y = rng.uniform(0, 1, 2) * side
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.8) * side
    bend = rng.uniform(-0.1, 0.1, 2) * side
    middle = (x + length / 2 * np.cos(angle) + bend[0], y + length / 2 * np.sin(angle) + bend[1])
    end = (x + length * np.cos(angle), y + length * np.sin(angle))
    ImageDraw.Draw(image).line([(x, y), middle, end], fill=SCRATCH, width=rng.randint(3, 6))


def _specks(image: Image.Image, rng: np.random.RandomState, count: int) -> None:
    draw = ImageDraw.Draw(image)
    for _ in range(count):
        x, y = rng.uniform(0, 1, 2) * image.width
        reach = rng.uniform(1.5, 4.5)
        draw.ellipse([x - reach, y - reach, x + reach, y + reach], fill=DUST)


def write(folder: Path = FOLDER) -> None:
    """The captions lie beside the goal: the same instruction for every pair."""
    for name in ("before", "after"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, (before, after) in enumerate(draw_pairs(), 1):
        before.save(folder / "before" / f"{number:02d}.png", optimize=True)
        after.save(folder / "after" / f"{number:02d}.png", optimize=True)
        (folder / "after" / f"{number:02d}.txt").write_text(INSTRUCTION + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
