"""Videos on disk: length, speed, size, and single frames."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from danlu.dataset.clips import first_frame, frames, probe_clip
from danlu.dataset.images import UnreadableImage
from danlu.dataset.model import Clip

from .films import film, shade


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.avi"])
def test_length_speed_and_size(tmp_path: Path, name: str) -> None:
    path = film(tmp_path / name, frames=9, size=(48, 80), fps=12)
    clip, size = probe_clip(path)
    assert (clip.frames, round(clip.fps), size) == (9, 12, (48, 80))


def test_the_frames_that_are_asked_for(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", frames=12)
    wanted = [0, 3, 3, 11]
    found = [np.asarray(frame)[:, 48:].mean() for frame in frames(path, wanted)]
    assert found == pytest.approx([shade(number, 12) for number in wanted], abs=6)
    assert np.asarray(first_frame(path))[:, :24].mean() < 6
    assert first_frame(path).size == (64, 48)


def test_another_file_of_the_same_name_is_looked_at_again(tmp_path: Path) -> None:
    assert probe_clip(film(tmp_path / "a.mp4", frames=5))[0] == Clip(5, 8.0)
    assert probe_clip(film(tmp_path / "a.mp4", frames=9))[0] == Clip(9, 8.0)


def test_frames_come_one_at_a_time(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", frames=40, size=(240, 320))
    next(frames(path, [0]))
    tracemalloc.start()
    for _ in frames(path, range(40)):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 240 * 320 * 3


def test_what_is_no_video_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video " * 100)
    whole = film(tmp_path / "whole.mp4", frames=30).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    for name, why in (("empty.mp4", "empty"), ("text.mp4", "not a video"), ("cut.mp4", "broken|not a video")):
        with pytest.raises(UnreadableImage, match=why):
            probe_clip(tmp_path / name)


def test_asking_beyond_the_end_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="ends before frame 21"):
        list(frames(film(tmp_path / "a.mp4", frames=12), [0, 20]))


def test_a_film_that_lies_on_its_side_is_turned(tmp_path: Path) -> None:
    """As phones write it: the pixels lie, a matrix in the header turns them."""
    path = film(tmp_path / "a.mp4", frames=3)
    raw = bytearray(path.read_bytes())
    place = raw.index(b"tkhd") + 4 + 40
    one, zero = (1 << 16).to_bytes(4, "big"), bytes(4)
    minus = (-(1 << 16) & 0xFFFFFFFF).to_bytes(4, "big")
    raw[place : place + 20] = zero + one + zero + minus + zero  # a quarter to the right
    path.write_bytes(bytes(raw))
    assert probe_clip(path)[1] == (64, 48)
    picture = np.asarray(first_frame(path))
    assert picture[:28].mean() < 6 < picture[36:].mean(), "the left half is on top now"
