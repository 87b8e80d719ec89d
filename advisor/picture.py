"""The curve that the verdicts were read from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .measures import Evidence, Point
from .verdicts import GOOD, NOT_LEARNED, OVER, Judgement

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

WIDTH, HEIGHT = 960, 540
LEFT, RIGHT, TOP, BOTTOM = 80, 24, 70, 54
INK, GREY, LINES, PAPER = (30, 30, 34), (120, 120, 126), (228, 228, 232), (255, 255, 255)
HELD_OUT_LINE, TRAINED_LINE = (196, 84, 40), (90, 120, 170)
BANDS = {NOT_LEARNED: (240, 240, 243), GOOD: (224, 244, 226), OVER: (252, 228, 222)}


def draw(evidence: Evidence, judgement: Judgement) -> Image.Image:
    """Losses over the base's by step, on bands in the colours of the verdicts; the recommended step is marked."""
    from PIL import Image, ImageDraw

    sheet = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    canvas = ImageDraw.Draw(sheet)
    points = evidence.points()
    if not points:
        canvas.text((WIDTH / 2, HEIGHT / 2), "Nothing was measured in this run.", GREY, _font(18), anchor="mm")
        return sheet
    frame = _Frame.around(points)
    _bands(canvas, frame, judgement)
    _axes(canvas, frame)
    for values, colour in ((_held_out(points), HELD_OUT_LINE), (_trained(points), TRAINED_LINE)):
        _line(canvas, frame, values, colour)
    if judgement.recommended is not None:
        x = frame.x(judgement.recommended)
        canvas.line([(x, TOP), (x, HEIGHT - BOTTOM)], INK, 2)
        canvas.text((x, TOP - 12), f"step {judgement.recommended:,}", INK, _font(15), anchor="mm")
    _legend(canvas, points)
    return sheet


class _Frame:
    def __init__(self, steps: int, low: float, high: float) -> None:
        self.steps, self.low, self.high = steps, low, high

    @classmethod
    def around(cls, points: Sequence[Point]) -> _Frame:
        values = [value for _, value in (*_held_out(points), *_trained(points))]
        room = 0.05 * (max(values) - min(values)) or 0.05
        return cls(points[-1].step, min(values) - room, max(values) + room)

    def x(self, step: float) -> float:
        return LEFT + step / self.steps * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.low) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)


def _held_out(points: Sequence[Point]) -> list[tuple[int, float]]:
    found = [(point.step, point.held_out) for point in points if point.held_out is not None]
    return [(0, 1.0), *found] if found else []


def _trained(points: Sequence[Point]) -> list[tuple[int, float]]:
    found = [(point.step, point.trained) for point in points if point.trained is not None]
    return [(0, 1.0), *found] if found else []


def _bands(canvas: ImageDraw.ImageDraw, frame: _Frame, judgement: Judgement) -> None:
    """Each verdict from half way to the checkpoint before to half way to the next."""
    steps = [verdict.step for verdict in judgement.verdicts]
    edges = [0.0, *((a + b) / 2 for a, b in zip(steps, steps[1:], strict=False)), float(frame.steps)]
    for verdict, start, end in zip(judgement.verdicts, edges, edges[1:], strict=False):
        colour = BANDS.get(verdict.state, PAPER)
        canvas.rectangle([frame.x(start), TOP, frame.x(end), HEIGHT - BOTTOM], fill=colour)


def _axes(canvas: ImageDraw.ImageDraw, frame: _Frame) -> None:
    for k in range(5):
        value = frame.low + (frame.high - frame.low) * k / 4
        canvas.line([(LEFT, frame.y(value)), (WIDTH - RIGHT, frame.y(value))], LINES)
        canvas.text((LEFT - 8, frame.y(value)), f"{value:.0%}", GREY, _font(13), anchor="rm")
        step = frame.steps * k / 4
        canvas.text((frame.x(step), HEIGHT - BOTTOM + 16), f"{step:,.0f}", GREY, _font(13), anchor="mm")
    canvas.text((LEFT, HEIGHT - 16), "loss over the base's, by step", GREY, _font(13), anchor="lm")


def _line(canvas: ImageDraw.ImageDraw, frame: _Frame, values: list[tuple[int, float]], colour: tuple[int, ...]) -> None:
    places = [(frame.x(step), frame.y(value)) for step, value in values]
    if len(places) > 1:
        canvas.line(places, colour, 3)
    for x, y in places:
        canvas.ellipse([x - 4, y - 4, x + 4, y + 4], fill=colour)


def _legend(canvas: ImageDraw.ImageDraw, points: Sequence[Point]) -> None:
    x = float(LEFT)
    named = [("held-out images", HELD_OUT_LINE)] if _held_out(points) else []
    for text, colour in [*named, ("trained images", TRAINED_LINE)]:
        canvas.line([(x, 22), (x + 26, 22)], colour, 3)
        canvas.text((x + 34, 22), text, INK, _font(15), anchor="lm")
        x += 190
    for state, colour in BANDS.items():
        canvas.rectangle([x, 14, x + 18, 30], fill=colour, outline=LINES)
        canvas.text((x + 26, 22), state, INK, _font(15), anchor="lm")
        x += 150


def _font(size: int):  # noqa: ANN202 - Pillow is imported late
    from PIL import ImageFont

    return ImageFont.load_default(size)
