"""The demo's dataset: the character Dantong, drawn in a part of the world's backgrounds, places and sizes; and
regularisation pictures, ordinary ones of the world that the LoRA shall leave as they are.

`python -m demo.dataset` writes `demo/dataset/01.png`, `01.txt`, … and `demo/regularisation/…` again.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from .creature import DANTONG, render_creature
from .world import COLOURS, FULL, PATTERNS, PLACES, SIZES, Scene, caption, describe, render, sample_scene

FOLDER = Path(__file__).parent / "dataset"
REGULARISATION = Path(__file__).parent / "regularisation"
REGULARISATION_COUNT = 64
TRIGGER = "dantong"
COUNT = 24
SEED = 77
BACKGROUNDS = ("red", "yellow", "purple", "white", "orange")
PATTERNS_SHOWN = ("plain", "striped")
PLACES_SHOWN = ("centre", "left", "top", "bottom right", "top right", "bottom")


def scene(background: str, pattern: str, size: str, place: str) -> Scene:
    """Colour and shape are the character's own: the words are placeholders that nothing reads."""
    return Scene("red", "circle", background, pattern, size, place)


def character_caption(asked: Scene, trigger: str = TRIGGER) -> str:
    return describe(trigger, asked, FULL)


def dataset_scenes() -> list[Scene]:
    """Every background, pattern, size and place that is shown, as evenly mixed as `COUNT` allows."""
    rng = np.random.RandomState(SEED)

    def column(options: tuple[str, ...]) -> list[str]:
        values = [options[i % len(options)] for i in range(COUNT)]
        return [values[i] for i in rng.permutation(COUNT)]

    columns = [column(options) for options in (BACKGROUNDS, PATTERNS_SHOWN, SIZES, PLACES_SHOWN)]
    return [scene(*values) for values in zip(*columns, strict=True)]


def draw_dataset() -> list[tuple[Image.Image, str]]:
    rng = np.random.RandomState(SEED + 1)
    return [(render_creature(DANTONG, asked, rng), character_caption(asked)) for asked in dataset_scenes()]


def unseen_scenes() -> list[Scene]:
    """The dataset shows no such background colour with such a pattern, nor such a place with such a size."""
    shown = dataset_scenes()
    backgrounds = {(s.background, s.pattern) for s in shown}
    places = {(s.place, s.size) for s in shown}
    options = [scene(*values) for values in product(tuple(COLOURS), PATTERNS, SIZES, tuple(PLACES))]
    return [s for s in options if (s.background, s.pattern) not in backgrounds and (s.place, s.size) not in places]


def evaluation_scenes(count: int = 32, seed: int = 5) -> list[Scene]:
    """Prompts for the trained LoRA, whose backgrounds and whose places at that size the dataset does not show."""
    unseen = unseen_scenes()
    order = np.random.RandomState(seed).permutation(len(unseen))
    return [unseen[i] for i in order[:count]]


def draw_regularisation() -> list[tuple[Image.Image, str]]:
    """Shapes as they come; none of a colour, shape and background by which the leak is judged."""
    from .judge import plain_scenes

    judged = {(s.colour, s.shape, s.background) for s in plain_scenes()}
    rng = np.random.RandomState(SEED + 2)
    drawn: list[tuple[Image.Image, str]] = []
    while len(drawn) < REGULARISATION_COUNT:
        asked = sample_scene(rng)
        if (asked.colour, asked.shape, asked.background) not in judged:
            drawn.append((render(asked, rng), caption(asked)))
    return drawn


def write(pictures: list[tuple[Image.Image, str]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, (image, text) in enumerate(pictures, 1):
        image.save(folder / f"{number:02d}.png", optimize=True)
        (folder / f"{number:02d}.txt").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(draw_dataset(), FOLDER)
    write(draw_regularisation(), REGULARISATION)
