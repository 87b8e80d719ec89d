"""Small real videos."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def shade(number: int, count: int) -> int:
    """Of frame `number` of a film: it gets lighter from frame to frame."""
    return round(20 + 200 * number / max(1, count - 1))


def film(path: Path, frames: int = 12, size: tuple[int, int] = (48, 64), fps: int = 8, codec: str = "mpeg4") -> Path:
    """`size`: (height, width). Every frame is one grey, black on the left half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps))
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        for number in range(frames):
            picture = np.full((*size, 3), shade(number, frames), np.uint8)
            picture[:, : size[1] // 2] = 0
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path
