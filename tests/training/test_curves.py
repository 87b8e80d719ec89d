"""The moving average of the loss, and the picture of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from PIL import Image

from danlu.training import clock as clock_module
from danlu.training.clock import Clock
from danlu.training.curves import (
    BOTTOM,
    HEIGHT,
    HELD_OUT,
    LEFT,
    RIGHT,
    SINGLE,
    SMOOTHED,
    TOP,
    TRAINED,
    WIDTH,
    Colour,
    Curves,
    Smoother,
    loss_picture,
    smoothed,
)

INSIDE = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM)
"""Width and height of the plot itself."""


def test_the_average_is_weighted_towards_the_last() -> None:
    values = [4.0, 2.0, 7.0]
    weights = [0.99**2, 0.99, 1.0]
    expected = sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
    assert smoothed(values)[-1] == pytest.approx(expected)
    assert smoothed([3.0] * 5) == pytest.approx([3.0] * 5)
    assert Smoother(values).add(1.0) == smoothed([*values, 1.0])[-1]


def test_the_clock_goes_on_with_the_average_and_forgets_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 9.0, 10.0, 11.0])
    monkeypatch.setattr(clock_module.time, "perf_counter", lambda: next(times))
    clock = Clock(10, past=[4.0, 2.0])
    reports = [clock.report(step, loss, 1e-4) for step, loss in ((3, 7.0), (4, 1.0), (5, 1.0))]
    assert [report.smoothed for report in reports] == smoothed([4.0, 2.0, 7.0, 1.0, 1.0])[2:]
    assert [report.seconds_per_step for report in reports] == [9.0, 1.0, 1.0]
    assert reports[-1].seconds_left == 5.0


def columns(image: Image.Image, colour: Colour) -> set[int]:
    """Where in the plot itself a colour is found, from left to right."""
    return {x for x in range(image.width) for y in range(TOP, image.height) if image.getpixel((x, y)) == colour}


def lows(image: Image.Image, colour: Colour, at: Sequence[int]) -> list[int]:
    """The lowest place of a colour in some columns."""
    return [max(y for y in range(TOP, image.height) if image.getpixel((x, y)) == colour) for x in at]


def test_the_picture_shows_what_there_is() -> None:
    falling = [1.0 - i / 200 + 0.2 * (-1) ** i for i in range(100)]
    plain = loss_picture(Curves(falling), "name")
    assert columns(plain, SINGLE) and columns(plain, SMOOTHED)
    assert not columns(plain, HELD_OUT) and not columns(plain, TRAINED)
    left, right = lows(plain, SMOOTHED, (100, 560))
    assert left < right, "a loss that falls goes down"

    measured = loss_picture(Curves(falling, {"held_out": [(50, 0.9), (100, 1.2)], "trained": [(100, 0.3)]}), "name")
    assert min(columns(measured, HELD_OUT)) == pytest.approx(LEFT + 49 / 99 * INSIDE[0] - 3, abs=2)
    assert min(columns(measured, TRAINED)) == pytest.approx(LEFT + INSIDE[0] - 3, abs=2)
    assert lows(measured, TRAINED, [LEFT + INSIDE[0] - 1])[0] > lows(measured, HELD_OUT, [LEFT + INSIDE[0] - 1])[0]


def test_a_single_spike_leaves_the_rest_readable() -> None:
    losses = [0.5] * 300
    assert Curves([*losses, 50.0]).highest == pytest.approx(0.55)
    assert Curves([]).highest == 1.0
    for few in ([], [0.5], losses[:2]):
        loss_picture(Curves(few), "name")


def test_many_steps_look_like_all_of_them() -> None:
    values = [0.3 + 0.2 * ((i * 7919) % 1000) / 1000 for i in range(40_000)]
    picture = loss_picture(Curves(values), "name")
    for x in (200, 400, 550):
        places = [(x + i, y) for i in range(3) for y in range(TOP, picture.height)]
        found = [y for x, y in places if picture.getpixel((x, y)) == SINGLE]
        # From 0.3 to 0.5 of 0.55.
        assert max(found) - min(found) == pytest.approx(0.2 / 0.55 * INSIDE[1], abs=8)
