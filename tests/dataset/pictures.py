"""Picture files of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

RED = (200, 30, 40)


def save(path: Path, size: tuple[int, int] = (96, 80), colour: tuple[int, ...] = RED, mode: str = "RGB") -> Path:
    """One plain picture; `size` is (width, height), as Pillow says it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


def caption(picture: Path, text: str) -> Path:
    path = picture.with_suffix(".txt")
    path.write_text(text, encoding="utf-8")
    return path


def noise(path: Path, size: tuple[int, int] = (96, 80), seed: int = 0) -> Path:
    values = np.random.RandomState(seed).randint(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path
