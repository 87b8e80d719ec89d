"""Videos: what is known of them, and single frames of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from . import known
from .files import file_stat
from .images import VIDEO_SUFFIXES, UnreadableImage
from .model import Clip

if TYPE_CHECKING:
    import av.container
    import av.video

__all__ = ["VIDEO_SUFFIXES", "first_frame", "frames", "probe_clip"]
ONLY_FILES = {"protocol_whitelist": "file", "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"}
"""No playlists: they name other files, whatever they are called themselves."""
MOST_PIXELS = 8192 * 8192
"""Of one frame: above that it is a mistake or an attack."""


def probe_clip(path: Path) -> tuple[Clip, tuple[int, int]]:
    """Length and upright (height, width). Reads the whole file, but decodes its first frame only."""
    stamp = known.stamp_of(file_stat(path))
    return (_probe_clip if stamp.settled else _probe_clip.__wrapped__)(path, stamp)


@lru_cache(maxsize=10_000)
def _probe_clip(path: Path, stamp: known.Stamp) -> tuple[Clip, tuple[int, int]]:
    fact = known.get("clip", str(path), stamp)
    if fact is not None:
        count, fps, height, width = fact.split()
        return Clip(int(count), float(fps)), (int(height), int(width))
    clip, size = _looked_at(path, stamp.length)
    known.put("clip", str(path), stamp, f"{clip.frames} {clip.fps!r} {size[0]} {size[1]}")
    return clip, size


def _looked_at(path: Path, length: int) -> tuple[Clip, tuple[int, int]]:
    if length == 0:
        raise UnreadableImage("the file is empty")
    try:
        with _opened(path) as container:
            stream = _stream(container)
            fps = float(stream.average_rate or stream.guessed_rate or 0)
            first = _upright(next(container.decode(stream)))
        with _opened(path) as container:  # what the header says of the length is not always there, or true
            count = sum(1 for packet in container.demux(_stream(container)) if packet.size and not packet.is_discard)
    except Exception as error:
        raise _reason(error) from error
    if fps <= 0:
        raise UnreadableImage("a video that does not say how many frames a second it has")
    return Clip(count, fps), (first.shape[0], first.shape[1])


def frames(path: Path, indices: Sequence[int]) -> Iterator[Image.Image]:
    """The frames of these numbers (rising, from 0), upright RGB, one at a time.

    Raises UnreadableImage where the file ends before the last of them.
    """
    wanted = list(indices)
    try:
        with _opened(path) as container:
            for number, frame in enumerate(container.decode(_stream(container))):
                while wanted and wanted[0] == number:
                    wanted.pop(0)
                    yield Image.fromarray(_upright(frame))
                if not wanted:
                    return
    except Exception as error:
        raise _reason(error) from error
    raise UnreadableImage(f"the video ends before frame {wanted[0] + 1}")


def first_frame(path: Path) -> Image.Image:
    return next(frames(path, [0]))


def _opened(path: Path) -> av.container.InputContainer:
    import av

    # A file of ours: none that it names elsewhere is opened.
    return av.open(str(path), mode="r", metadata_errors="ignore", options=ONLY_FILES)


def _stream(container: Any) -> av.video.VideoStream:
    if not container.streams.video:
        raise UnreadableImage("holds no video")
    stream: av.video.VideoStream = container.streams.video[0]
    if not 0 < stream.width * stream.height <= MOST_PIXELS:
        raise UnreadableImage("frames with too many pixels; make them smaller")
    stream.thread_type = "AUTO"
    return stream


def _upright(frame: av.video.VideoFrame) -> np.ndarray:
    """(height, width, 3) uint8; phones film lying down and write the turn into the file."""
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))


def _reason(error: Exception) -> UnreadableImage:
    import av

    if isinstance(error, UnreadableImage):
        return error
    if isinstance(error, StopIteration):
        return UnreadableImage("a video without a frame")
    if isinstance(error, av.InvalidDataError):
        return UnreadableImage("not a video, or of a kind that this PyAV cannot read")
    return UnreadableImage(f"broken: {error}" if str(error) else f"broken: {type(error).__name__}")
