"""The edit demo's pairs: what is committed is what the script draws, and none of it is in the measurement."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from danlu.demo.edit import distance
from danlu.demo.edit_pairs import COUNT, FOLDER, INSTRUCTION, dirtied, draw_pairs, unseen_pairs
from danlu.demo.world import render, sample_scene


def test_the_committed_pairs_are_the_drawn_ones() -> None:
    for number, pair in enumerate(draw_pairs(), 1):
        for side, picture in zip(("before", "after"), pair, strict=True):
            with Image.open(FOLDER / side / f"{number:02d}.png") as saved:
                # Resizing may round otherwise in another version of Pillow.
                assert np.abs(np.asarray(saved, int) - np.asarray(picture, int)).max() <= 2
        assert (FOLDER / "after" / f"{number:02d}.txt").read_text(encoding="utf-8").strip() == INSTRUCTION
    assert len(list((FOLDER / "before").iterdir())) == COUNT


def test_dirt_is_added_and_most_of_the_picture_stays() -> None:
    for before, after in draw_pairs(8):
        changed = np.abs(np.asarray(before, int) - np.asarray(after, int)).max(-1) > 24
        assert 0.02 < changed.mean() < 0.5
        assert 0.01 < distance(before, after) < 0.2


def test_the_same_seed_gives_the_same_dirt() -> None:
    rng = np.random.RandomState(1)
    clean = render(sample_scene(rng), rng)
    first, second = (dirtied(clean, np.random.RandomState(3)) for _ in range(2))
    assert first.tobytes() == second.tobytes() != clean.tobytes()


def test_unseen_pairs_are_unseen() -> None:
    shown = [np.asarray(after, float) for _, after in draw_pairs()]
    for before, after in unseen_pairs(12):
        assert all(np.abs(np.asarray(after, float) - other).mean() > 2 for other in shown)
        assert distance(before, after) > 0.01


def test_the_distance() -> None:
    black, grey = (Image.new("RGB", (4, 4), (v, v, v)) for v in (0, 51))
    assert distance(black, black) == 0 and distance(black, grey) == pytest.approx(0.2)
