"""The registry's icon and banner: an alchemist's furnace with a golden pill above it, drawn with nothing but Pillow.

python -m demo.artwork [--output FOLDER]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from math import cos, pi, sin
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from .creature import DANTONG, draw_creature
from .world import Placement, draw_background

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "artwork"
ICON, BANNER = 400, (1680, 720)
"""Pixels. The registry takes icons up to 400 × 400, and banners of 21 : 9."""
OVER = 3
"""Everything is drawn this much larger, for smooth edges."""
NIGHT, DUSK, EMBER = (22, 20, 38), (52, 34, 60), (255, 122, 36)
BRONZE, GOLD, PALE = (196, 124, 62), (255, 196, 74), (255, 240, 190)
WIRES = ((120, 170, 255), (255, 196, 74), (178, 150, 255))
FLAMES = ((226, 58, 24), (255, 128, 24), (255, 206, 70), (255, 246, 206))
Point = tuple[float, float]
Colour = tuple[int, int, int]

# Half width of the furnace at a height; both in units of its height, from the lid's knob (0) to its feet (1).
LID: Sequence[Point] = ((0.10, 0.04), (0.13, 0.13), (0.17, 0.21), (0.215, 0.265), (0.225, 0.30), (0.25, 0.30))
RIM: Sequence[Point] = ((0.25, 0.335), (0.30, 0.335))
BELLY: Sequence[Point] = (
    (0.30, 0.285), (0.34, 0.30), (0.42, 0.375), (0.50, 0.415), (0.58, 0.42), (0.66, 0.39), (0.74, 0.315), (0.80, 0.20),
    (0.82, 0.10),
)  # fmt: skip
LEG: Sequence[Point] = (
    (0.0, 0.66), (0.10, 0.72), (0.125, 0.82), (0.10, 0.92), (0.135, 1.0), (0.045, 1.0), (0.025, 0.92), (0.035, 0.84),
    (-0.03, 0.78),
)  # fmt: skip
MIDDLE_LEG: Sequence[Point] = ((0.78, 0.085), (0.85, 0.055), (0.92, 0.045), (0.97, 0.06), (1.01, 0.068), (1.015, 0.03))


class Canvas:
    """A picture, and where the furnace stands on it: its own units (1 is its height) become pixels."""

    def __init__(self, image: Image.Image, centre: float, top: float, height: float):
        self.image, self.centre, self.top, self.height = image, centre, top, height

    def at(self, x: float, y: float) -> Point:
        """`x` from the furnace's axis, `y` from its knob."""
        return self.centre + x * self.height, self.top + y * self.height

    def mask(self, paint: Callable[[ImageDraw.ImageDraw], None]) -> Image.Image:
        mask = Image.new("L", self.image.size)
        paint(ImageDraw.Draw(mask))
        return mask

    def polygon(self, points: Sequence[Point]) -> Image.Image:
        return self.mask(lambda draw: draw.polygon([self.at(x, y) for x, y in points], fill=255))

    def ellipse(self, x: float, y: float, rx: float, ry: float) -> Image.Image:
        corners = [*self.at(x - rx, y - ry), *self.at(x + rx, y + ry)]
        return self.mask(lambda draw: draw.ellipse(corners, fill=255))

    def fill(self, mask: Image.Image, colour: Colour) -> None:
        self.image.paste(colour, mask=mask)

    def shade(self, mask: Image.Image, half: float, colour: Colour = BRONZE) -> None:
        """As round metal: lit from the upper left, with the fire's light from below."""
        box = mask.getbbox() or (0, 0, 1, 1)
        x, y = self._grid(box)
        x = x / half
        lit = 0.24 + 0.86 * np.exp(-(((x + 0.38) / 0.55) ** 2)) + 0.16 * np.exp(-(((x - 0.92) / 0.16) ** 2))
        lit = lit * (1.12 - 0.42 * np.clip(y, 0, 1))
        fire = np.clip((y - 0.55) / 0.5, 0, 1) * np.exp(-((x / 0.9) ** 2)) * 0.55
        self.image.paste(_picture(lit[..., None] * colour + fire[..., None] * EMBER), box[:2], mask.crop(box))

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """Adds light around a point."""
        corners = [*self.at(x - 2.6 * radius, y - 2.6 * radius), *self.at(x + 2.6 * radius, y + 2.6 * radius)]
        box = tuple(round(min(max(value, 0), self.image.size[i % 2])) for i, value in enumerate(corners))
        px, py = self._grid(box)
        light = np.exp(-((px - x) ** 2 + (py - y) ** 2) / radius**2)[..., None] * colour * strength
        self.image.paste(ImageChops.add(self.image.crop(box), _picture(light)), box[:2])

    def _grid(self, box: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """The furnace's units of the pixels of a box: a row of x, a column of y."""
        x, y = (np.arange(box[axis], box[axis + 2], dtype=np.float32) for axis in (0, 1))
        return (x[None, :] - self.centre) / self.height, (y[:, None] - self.top) / self.height


def _picture(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def mirrored(profile: Sequence[Point]) -> list[Point]:
    """(height, half width) → the closed outline."""
    right = [(width, height) for height, width in smooth(profile)]
    return right + [(-x, y) for x, y in reversed(right)]


def smooth(points: Sequence[Point], steps: int = 12) -> list[Point]:
    """A Catmull-Rom curve through the points."""
    padded = [points[0], *points, points[-1]]
    curve: list[Point] = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        for step in range(steps):
            t = step / steps
            curve.append(tuple(_spline(t, *axis) for axis in zip(a, b, c, d, strict=True)))  # type: ignore[arg-type]
    return [*curve, points[-1]]


def _spline(t: float, a: float, b: float, c: float, d: float) -> float:
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def furnace(canvas: Canvas) -> None:
    """Handles and legs first: they stand behind the belly."""
    canvas.glow(0, 0.80, 0.55, EMBER, 0.50)
    for side in (-1, 1):
        ring = ImageChops.subtract(
            canvas.ellipse(side * 0.35, 0.315, 0.105, 0.125), canvas.ellipse(side * 0.365, 0.305, 0.058, 0.075)
        )
        canvas.shade(ring, 0.48)
        leg = [(side * (0.225 + x), y) for x, y in smooth(LEG)]
        canvas.shade(canvas.polygon(leg), 0.42)
    canvas.shade(canvas.polygon(mirrored(MIDDLE_LEG)), 0.16)
    canvas.shade(canvas.polygon(mirrored(BELLY)), 0.42)
    trigrams(canvas)
    fire(canvas)
    canvas.shade(canvas.polygon(mirrored(LID)), 0.30)
    for low, high in ((0.25, 0.30), (0.43, 0.445)):
        width = 0.345 if low < 0.4 else 0.386
        band = canvas.polygon([(-width, low), (width, low), (width, high), (-width, high)])
        canvas.shade(band, 0.36, tuple(min(255, value + 30) for value in BRONZE))  # type: ignore[arg-type]
    for hole in (-0.13, 0.0, 0.13):
        canvas.fill(canvas.ellipse(hole, 0.205, 0.022, 0.014), EMBER)
    canvas.shade(canvas.ellipse(0, 0.085, 0.048, 0.048), 0.06, GOLD)


def trigrams(canvas: Canvas) -> None:
    """Three bars each, whole or broken, as on the furnace of the eight trigrams."""
    for middle, whole in ((-0.275, (True, False, True)), (0.275, (False, True, False))):
        for row, one in enumerate(whole):
            y = 0.50 + 0.05 * row
            for start, end in ((-0.065, 0.065),) if one else ((-0.065, -0.014), (0.014, 0.065)):
                bar = [(middle + start, y), (middle + end, y), (middle + end, y + 0.026), (middle + start, y + 0.026)]
                canvas.fill(canvas.polygon(bar), GOLD)


def fire(canvas: Canvas) -> None:
    """An arched mouth in the belly, and what burns in it."""
    arch = [(-0.145, 0.74), *[(0.145 * cos(a), 0.585 - 0.125 * sin(a)) for a in np.linspace(pi, 0, 40)], (0.145, 0.74)]
    edge = [(x * 1.16, 0.6 + (y - 0.6) * 1.13) for x, y in arch]
    canvas.shade(canvas.polygon(edge), 0.2, GOLD)
    mouth = canvas.polygon(arch)
    canvas.fill(mouth, (46, 14, 12))
    for number, colour in enumerate(FLAMES):
        size = 1 - 0.22 * number
        for x, lean, tall in ((-0.075, -0.02, 0.17), (0.075, 0.02, 0.155), (0.0, 0.0, 0.25)):
            tongue = canvas.polygon(flame(x * size, 0.755, 0.085 * size, tall * size, lean))
            canvas.fill(ImageChops.multiply(tongue, mouth), colour)
    canvas.glow(0, 0.66, 0.17, EMBER, 0.35)


def flame(x: float, foot: float, half: float, tall: float, lean: float) -> list[Point]:
    side = ((0.0, 0.0), (0.9, 0.12), (1.0, 0.32), (0.62, 0.58), (0.34, 0.76), (0.0, 1.0))
    right = smooth(side)
    left = [(-0.92 * a, b) for a, b in reversed(right)]
    return [(x + a * half + lean * b, foot - b * tall) for a, b in right + left]


def pill(canvas: Canvas, y: float, radius: float) -> None:
    """The elixir: what all the burning is for."""
    canvas.glow(0, y, radius * 3.4, GOLD, 0.55)
    for angle in np.arange(12) * pi / 6 + pi / 12:
        start, end = radius * 1.45, radius * (1.95 if round(angle * 6 / pi - 0.5) % 2 else 1.7)
        ends = [canvas.at(r * cos(angle), y + r * sin(angle)) for r in (start, end)]
        width = round(0.011 * canvas.height)
        ImageDraw.Draw(canvas.image).line(ends, fill=GOLD, width=width)
    canvas.fill(canvas.ellipse(0, y, radius, radius), (214, 132, 34))
    canvas.fill(canvas.ellipse(-0.06 * radius, y - 0.06 * radius, radius * 0.9, radius * 0.9), GOLD)
    canvas.fill(canvas.ellipse(-0.28 * radius, y - 0.30 * radius, radius * 0.42, radius * 0.36), PALE)


def sparks(canvas: Canvas, seed: int, count: int, spread: float) -> None:
    """Embers that rise; more of them, and larger ones, near the furnace."""
    rng = np.random.RandomState(seed)
    for _ in range(count):
        x, y = rng.normal(0, spread), rng.uniform(-0.3, 0.95)
        size = rng.uniform(0.003, 0.009) * (1.2 - 0.5 * abs(x) / (2.5 * spread))
        colour = FLAMES[1] if rng.random_sample() < 0.6 else FLAMES[2]
        canvas.fill(canvas.ellipse(x, y, size, size).point(lambda value: value * 3 // 4), colour)


def night(size: tuple[int, int], light: Point) -> Image.Image:
    """A dark background that brightens around `light`, in fractions of the size."""
    width, height = size
    x, y = np.arange(width)[None, :] / width - light[0], np.arange(height)[:, None] / height - light[1]
    near = np.exp(-((x * width / height) ** 2 + y**2) / 0.35)[..., None]
    return Image.fromarray((np.array(NIGHT) * (1 - near) + np.array(DUSK) * near).astype(np.uint8))


def icon() -> Image.Image:
    side = ICON * OVER
    image = night((side, side), (0.5, 0.6))
    canvas = Canvas(image, side / 2, side * 0.255, side * 0.69)
    sparks(canvas, 3, 26, 0.42)
    furnace(canvas)
    pill(canvas, -0.145, 0.088)
    corners = Image.new("L", image.size)
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, side - 1, side - 1), side * 0.18, fill=255)
    image.putalpha(corners)
    return image.resize((ICON, ICON), Image.Resampling.LANCZOS)


def banner() -> Image.Image:
    """Pictures go in, the furnace burns, and what comes out makes new ones: the demo's own character."""
    width, height = BANNER[0] * OVER, BANNER[1] * OVER
    image = night((width, height), (0.5, 0.55))
    canvas = Canvas(image, width / 2, height * 0.27, height * 0.66)
    sparks(canvas, 5, 60, 0.75)
    # Cards: x and y of their middle and side in the furnace's units, degrees, background, pattern.
    shown = ((-1.42, 0.02, 0.36, 8, "yellow", "plain"), (-1.17, 0.42, 0.36, -6, "purple", "striped"),
             (-1.48, 0.76, 0.36, 4, "white", "plain"))  # fmt: skip
    made = ((1.36, 0.06, 0.46, -5, "blue", "dotted"), (1.30, 0.66, 0.46, 6, "green", "plain"))
    for (x, y, side, *_), colour in zip(shown, WIRES, strict=True):
        wire(canvas, (x + side * 0.5, y), (-0.30, 0.60), colour)
    for x, y, side, *_ in made:
        wire(canvas, (0.30, 0.60), (x - side * 0.5, y), GOLD)
    for number, one in enumerate((*shown, *made)):
        card(canvas, number, *one)
    furnace(canvas)
    pill(canvas, -0.165, 0.085)
    return image.resize(BANNER, Image.Resampling.LANCZOS)


def wire(canvas: Canvas, start: Point, end: Point, colour: Colour) -> None:
    """As ComfyUI draws a link: it leaves and arrives level."""
    reach = 0.55 * (end[0] - start[0])
    controls = (start, (start[0] + reach, start[1]), (end[0] - reach, end[1]), end)
    points = [canvas.at(*_bezier(step / 60, controls)) for step in range(61)]
    line = canvas.mask(lambda draw: draw.line(points, fill=255, width=round(0.014 * canvas.height), joint="curve"))
    halo = line.filter(ImageFilter.GaussianBlur(0.02 * canvas.height)).point(lambda value: value // 2)
    canvas.fill(halo, colour)
    canvas.fill(line, colour)


def _bezier(t: float, controls: Sequence[Point]) -> Point:
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    x, y = (sum(w * p[axis] for w, p in zip(weights, controls, strict=True)) for axis in (0, 1))
    return x, y


def card(
    canvas: Canvas, seed: int, x: float, y: float, side: float, angle: float, background: str, pattern: str
) -> None:
    """A print with a white border, lying a little askew."""
    pixels = round(side * canvas.height)
    border = pixels // 16
    picture = draw_background(np.random.RandomState(seed), background, pattern, pixels - 2 * border)
    draw_creature(picture, DANTONG, Placement(0.5, 0.52, 0.30, -angle * pi / 180))
    picture = picture.resize((pixels - 2 * border, pixels - 2 * border), Image.Resampling.LANCZOS)
    paper = Image.new("RGBA", (pixels, pixels), (244, 240, 230, 255))
    paper.paste(picture, (border, border))
    turned = paper.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    px, py = canvas.at(x, y)
    corner = round(px - turned.width / 2), round(py - turned.height / 2)
    shadow = Image.new("L", canvas.image.size)
    shadow.paste(turned.getchannel("A").point(lambda value: value // 2), (corner[0] + border, corner[1] + border))
    canvas.fill(shadow.filter(ImageFilter.GaussianBlur(border)), (8, 6, 16))
    canvas.image.paste(turned, corner, turned)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="demo.artwork", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder for the two pictures")
    folder: Path = parser.parse_args(arguments).output
    folder.mkdir(parents=True, exist_ok=True)
    icon().save(folder / "icon.png", optimize=True)
    banner().save(folder / "banner.jpg", quality=88)


if __name__ == "__main__":
    main()
