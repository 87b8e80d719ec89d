"""The loss of a run: smoothed, and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

SMOOTHING = 0.99
"""Weight of what was before: single losses tell mostly how much noise their step drew."""

WIDTH, HEIGHT = 600, 340
"""Nodes are hardly wider than half of it: letters are large, and few."""
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 40, 34
INK, GREY, LINES, PAPER = (30, 30, 34), (120, 120, 126), (228, 228, 232), (255, 255, 255)
SINGLE, SMOOTHED, HELD_OUT, TRAINED = (200, 200, 206), (196, 84, 40), (40, 140, 80), (90, 120, 170)

P = TypeVar("P")
Points = Sequence[tuple[float, float]]
Colour = tuple[int, int, int]


class Smoother:
    """A moving average by weight, corrected for its beginning: Adam's moments (arXiv:1412.6980, section 3)."""

    def __init__(self, values: Iterable[float] = ()) -> None:
        self._sum = 0.0
        self._weight = 0.0
        for value in values:
            self.add(value)

    def add(self, value: float) -> float:
        """The average with `value`."""
        self._sum = SMOOTHING * self._sum + (1 - SMOOTHING) * value
        self._weight = SMOOTHING * self._weight + (1 - SMOOTHING)
        return self._sum / self._weight


def smoothed(losses: Iterable[float]) -> list[float]:
    smoother = Smoother()
    return [smoother.add(loss) for loss in losses]


def extremes(points: Sequence[P], most: int, height: Callable[[P], float]) -> list[P]:
    """At most `most` (2 or more) of them in their order: of each part the lowest and the highest, and the last one."""
    if len(points) <= most:
        return list(points)
    parts = max(1, (most - 1) // 2)
    ends = [len(points) * k // parts for k in range(parts + 1)]
    found: list[int] = []
    for start, end in zip(ends, ends[1:], strict=False):
        places = range(start, end)
        pair = (min(places, key=lambda k: height(points[k])), max(places, key=lambda k: height(points[k])))
        found += sorted(set(pair))
    return [points[k] for k in dict.fromkeys((*found, len(points) - 1))]


@dataclass(frozen=True)
class Curves:
    """What there is to draw."""

    losses: Sequence[float]
    """Of each step from 1 on."""
    validation: Mapping[str, Points] = field(default_factory=dict)
    """"held_out" and "trained": (step, loss), step 0 being the base."""

    @property
    def highest(self) -> float:
        """The top of the picture: single losses far above all others are cut off there."""
        usual = sorted(self.losses)[int(0.99 * (len(self.losses) - 1))] if self.losses else 0.0
        measured = [loss for points in self.validation.values() for _, loss in points]
        return 1.1 * max([usual, *measured]) or 1.0


def loss_picture(curves: Curves, title: str) -> Image.Image:
    """Every step's loss, their moving average, and the losses on held-out and trained pictures where measured."""
    from PIL import Image, ImageDraw

    sheet = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    canvas = ImageDraw.Draw(sheet)
    frame = _Frame(max(2, len(curves.losses)), curves.highest)
    frame.draw(canvas)
    singles, averages = (list(enumerate(values, 1)) for values in (curves.losses, smoothed(curves.losses)))
    _line(canvas, [frame.place(*point) for point in singles], SINGLE, 1)
    _line(canvas, [frame.place(*point) for point in averages], SMOOTHED, 3)
    drawn = [("steps", SINGLE), ("average", SMOOTHED)] if singles else []
    for key, name, colour in (("held_out", "held out", HELD_OUT), ("trained", "trained", TRAINED)):
        if points := [frame.place(*point) for point in curves.validation.get(key, ())]:
            _line(canvas, points, colour, 2, dots=True)
            drawn.append((name, colour))
    _legend(canvas, drawn)
    canvas.text((WIDTH - RIGHT, TOP / 2), title, GREY, _font(), anchor="rm")
    return sheet


@dataclass(frozen=True)
class _Frame:
    steps: int
    high: float

    def place(self, step: float, loss: float) -> tuple[float, float]:
        across = max(0.0, step - 1) / (self.steps - 1)
        return (
            LEFT + across * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - min(loss, self.high) / self.high * (HEIGHT - TOP - BOTTOM),
        )

    def draw(self, canvas: ImageDraw.ImageDraw) -> None:
        for k in range(5):
            loss, step = self.high * k / 4, 1 + k * (self.steps - 1) // 4
            x, y = self.place(step, loss)
            left, bottom = self.place(1, 0)
            canvas.line([(left, y), (WIDTH - RIGHT, y)], LINES)
            canvas.text((left - 8, y), f"{loss:.3g}", GREY, _font(), anchor="rm")
            canvas.text((x, bottom + 6), f"{step:,}", GREY, _font(), anchor="rt" if k == 4 else "mt")


def _legend(canvas: ImageDraw.ImageDraw, drawn: Iterable[tuple[str, Colour]]) -> None:
    x = float(LEFT)
    for name, colour in drawn:
        canvas.line([(x, TOP / 2), (x + 20, TOP / 2)], colour, 3)
        canvas.text((x + 26, TOP / 2), name, INK, _font(), anchor="lm")
        x += 26 + canvas.textlength(name, _font()) + 16


def _line(canvas: ImageDraw.ImageDraw, places: Points, colour: Colour, width: int, dots: bool = False) -> None:
    if len(places) > 1:
        canvas.line(list(_thinned(places)), colour, width)
    for x, y in places if dots or len(places) == 1 else ():
        canvas.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)


def _thinned(places: Points) -> Points:
    """The lowest and the highest of each pixel column where there are many: what the eye sees stays the same."""
    part = len(places) // WIDTH
    if part < 4:
        return places
    chunks = [places[i : i + part] for i in range(0, len(places), part)]
    return [find(chunk, key=lambda place: place[1]) for chunk in chunks for find in (min, max)]


def _font():  # noqa: ANN202 - Pillow is imported late
    from PIL import ImageFont

    return ImageFont.load_default(16)
