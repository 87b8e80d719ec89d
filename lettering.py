"""Text on pictures, in whatever letters it is written."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

_ASIAN = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansSC-Regular.otf",
    "SourceHanSansSC-Regular.otf",
    "msyh.ttc",
    "simhei.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "wqy-zenhei.ttc",
    "wqy-microhei.ttc",
    "DroidSansFallback.ttf",
)
"""Fonts with Chinese letters that systems bring along; Pillow's own has none."""


def font(text: str, size: int = 16) -> Any:
    """One that has the letters of `text`, as far as this computer knows one."""
    asian = not text.isascii() and any(ord(letter) > 0x2E7F for letter in text)
    return (_asian(size) if asian else None) or _latin(size)


@lru_cache(maxsize=16)
def _latin(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


@lru_cache(maxsize=16)
def _asian(size: int) -> Any:
    from PIL import ImageFont

    for name in _ASIAN:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return None


def text_size(text: str, size: int = 16) -> tuple[int, int]:
    """(width, height) in pixels."""
    from PIL import Image, ImageDraw

    box = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((0, 0), text, font(text, size))
    return round(box[2]), round(box[3])


def wrapped(text: str, width: int, size: int = 16, lines: int | None = None) -> str:
    """In lines of at most `width` pixels; words longer than that are cut. What is over `lines` ends in an ellipsis."""
    face = font(text, size)
    found: list[str] = [""]
    for word in _pieces(text, face, width):
        longer = f"{found[-1]} {word}" if found[-1] else word
        if face.getlength(longer) <= width:
            found[-1] = longer
        else:
            found.append(word)
    found = [line for line in found if line]
    if lines is not None and len(found) > lines:
        found = [*found[: lines - 1], _shortened(found[lines - 1], face, width)]
    return "\n".join(found)


def _shortened(line: str, face: Any, width: int) -> str:
    while line and face.getlength(f"{line} ...") > width:
        line = line[:-1]
    return f"{line.rstrip()} ..."


def _pieces(text: str, face: Any, width: int) -> list[str]:
    pieces = []
    for word in text.split():
        while face.getlength(word) > width and len(word) > 1:
            cut = next(n for n in range(len(word) - 1, 0, -1) if n == 1 or face.getlength(word[:n]) <= width)
            pieces.append(word[:cut])
            word = word[cut:]
        pieces.append(word)
    return pieces
