"""The demo's two pictures: a labelled grid and the loss curve."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

INK, GREY, PAPER, ACCENT = (30, 30, 34), (150, 150, 156), (255, 255, 255), (196, 84, 40)
CELL, GAP, LABEL = 160, 6, 330


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def grid(cells: Sequence[Sequence[Image.Image]], rows: Sequence[str], columns: Sequence[str]) -> Image.Image:
    """Rows of equally sized pictures, each row and column with its label."""
    top = 34
    width = LABEL + len(columns) * (CELL + GAP) + GAP
    sheet = Image.new("RGB", (width, top + len(rows) * (CELL + GAP) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for x, text in enumerate(columns):
        left = LABEL + x * (CELL + GAP)
        draw.text((left + CELL / 2, top / 2), text, INK, _font(15), anchor="mm")
    for y, text in enumerate(rows):
        upper = top + y * (CELL + GAP)
        draw.multiline_text((12, upper + CELL / 2), _wrapped(text), INK, _font(15), anchor="lm", spacing=5)
        for x, picture in enumerate(cells[y]):
            scaled = picture.resize((CELL, CELL), Image.Resampling.LANCZOS)
            sheet.paste(scaled, (LABEL + x * (CELL + GAP), upper))
    return sheet


def _wrapped(text: str, width: int = 40) -> str:
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + len(word) >= width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, line])


def loss_curve(losses: Sequence[float], title: str) -> Image.Image:
    """Every step's loss in grey, the average of its last tenth in colour."""
    width, height, left, bottom, top = 900, 460, 70, 50, 40
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    high = sorted(losses)[int(0.99 * (len(losses) - 1))] * 1.1 or 1.0

    def place(step: int, loss: float) -> tuple[float, float]:
        x = left + step / max(1, len(losses) - 1) * (width - left - 20)
        return x, height - bottom - min(loss, high) / high * (height - top - bottom)

    for k in range(5):
        y = place(0, high * k / 4)[1]
        draw.line([(left, y), (width - 20, y)], (232, 232, 236))
        draw.text((left - 8, y), f"{high * k / 4:.2f}", GREY, _font(13), anchor="rm")
    for k in range(5):
        step = k * (len(losses) - 1) // 4
        draw.text((place(step, 0)[0], height - bottom + 16), f"{step + 1}", GREY, _font(13), anchor="mm")
    draw.line([place(i, loss) for i, loss in enumerate(losses)], GREY, 1)
    draw.line([place(i, loss) for i, loss in enumerate(smoothed(losses))], ACCENT, 3)
    draw.text((left, 18), title, INK, _font(15), anchor="lm")
    return sheet


def smoothed(values: Sequence[float]) -> list[float]:
    """Running mean over the last tenth of the curve."""
    window = max(1, len(values) // 10)
    return [sum(values[max(0, i + 1 - window) : i + 1]) / min(window, i + 1) for i in range(len(values))]
