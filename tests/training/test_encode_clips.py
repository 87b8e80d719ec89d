"""Videos to training data: which frames, of which part, at which length."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from danlu.dataset.clips import probe_clip
from danlu.dataset.model import Clip, Dataset, Picture
from danlu.errors import DanluError
from danlu.training.batches import BatchPlan
from danlu.training.clips import ClipOptions, chosen, whole
from danlu.training.data import TrainingData
from danlu.training.encode import EncodeOptions, encode_dataset
from danlu.training.reporter import Reporter

from ..dataset.films import film, shade
from ..dataset.pictures import noise
from .test_encode import FakeEncoder


def clips(root: Path, **lengths: int) -> Dataset:
    made = []
    for name, frames in lengths.items():
        clip, size = probe_clip(film(root / f"{name}.mp4", frames, (64, 64)))
        made.append(Picture(root / f"{name}.mp4", f"{name}.mp4", size, name, 1, clip=clip))
    return Dataset(root, tuple(made), "")


def encode(dataset: Dataset, encoder: FakeEncoder | None = None, flip: bool = False, **options: Any) -> TrainingData:
    chosen = EncodeOptions(resolution="64", flip=flip, clips=ClipOptions(**options))
    encoder = encoder or FakeEncoder(frame_step=4)
    return encode_dataset(dataset, encoder, dataset.folder / "cache", chosen, Reporter())


def light(data: TrainingData, number: int = 0) -> list[float]:
    """Of the right half of each frame of a latent, as a share of 255."""
    return [float(v) * 255 for v in data.latent(data.entries[number])[:, :, :, 4:].mean((0, 2, 3))]


@pytest.mark.parametrize(
    ("there", "asked", "numbers"),
    [
        ((12, 8.0), {"frames": 9}, range(9)),
        ((12, 8.0), {"frames": 8}, range(5)),
        ((12, 8.0), {"frames": 9, "pick": "middle"}, range(1, 10)),
        ((17, 8.0), {"frames": 5, "pick": "even"}, [0, 4, 8, 12, 16]),
        ((17, 8.0), {"frames": 5, "fps": 4.0}, [0, 2, 4, 6, 8]),
        ((17, 8.0), {"frames": 5, "fps": 4.0, "pick": "middle"}, [4, 6, 8, 10, 12]),
        ((17, 8.0), {"frames": 9, "fps": 16.0}, range(9)),
        ((7, 8.0), {"frames": 41}, range(5)),
        ((3, 8.0), {"frames": 5}, [0]),
        ((200, 8.0), {}, range(41)),
        ((200, 24.0), {"fps": 16.0, "frames": 5}, [0, 2, 3, 4, 6]),
        ((9, 8.0), {"frames": 1, "pick": "even"}, [4]),
    ],
)
def test_which_frames(there: tuple[int, float], asked: dict[str, Any], numbers: Any) -> None:
    assert chosen(Clip(*there), ClipOptions(**asked), 4) == tuple(numbers)


@pytest.mark.parametrize(("frames", "step", "taken"), [(1, 4, 1), (4, 4, 1), (5, 4, 5), (48, 4, 45), (48, 8, 41)])
def test_whole_groups(frames: int, step: int, taken: int) -> None:
    assert whole(frames, step) == taken


def test_a_clip_becomes_frames_of_a_latent(tmp_path: Path) -> None:
    encoder = FakeEncoder(frame_step=4)
    data = encode(clips(tmp_path, a=12), encoder, frames=9)
    (entry,) = data.entries
    assert data.latent(entry).shape == (3, 3, 8, 8)
    assert (entry.frames, entry.bucket) == (9, (64, 64, 9))
    assert encoder.pictures == [(9, 64, 64, 3), (9, 64, 64, 3)]
    groups = [[0], [1, 2, 3, 4], [5, 6, 7, 8]]
    assert light(data) == pytest.approx([sum(shade(n, 12) for n in g) / len(g) for g in groups], abs=6)


def test_the_middle_is_another_clip_than_the_start(tmp_path: Path) -> None:
    dataset = clips(tmp_path, a=13)
    start, middle = encode(dataset, frames=5), encode(dataset, frames=5, pick="middle")
    assert light(start)[0] == pytest.approx(shade(0, 13), abs=6)
    assert light(middle)[0] == pytest.approx(shade(4, 13), abs=6)
    assert start.fingerprint != middle.fingerprint


def test_the_start_is_the_first_frame_and_grey(tmp_path: Path) -> None:
    """As the host's WanImageToVideo pads it."""
    data = encode(clips(tmp_path, a=9), flip=True, frames=9)
    (entry,) = data.entries
    for flip in (False, True):
        start, latent = data.start(entry, flip), data.latent(entry, flip)
        assert start is not None and start.shape[1:] == latent.shape
        assert torch.equal(start[0, :, 0], latent[:, 0])
        assert torch.allclose(start[0, :, 1:], torch.full_like(start[0, :, 1:], 0.5), atol=4e-3)
    assert torch.allclose(data.latent(entry).flip(-1), data.latent(entry, flip=True), atol=1e-5)


def test_pictures_among_clips_are_single_frames(tmp_path: Path) -> None:
    dataset = clips(tmp_path, a=9)
    still = Picture(noise(tmp_path / "b.png", (64, 64)), "b.png", (64, 64), "b", 1)
    data = encode(replace(dataset, pictures=(*dataset.pictures, still)), frames=5)
    shapes = {entry.name: tuple(data.latent(entry).shape) for entry in data.entries}
    assert shapes == {"a.mp4": (3, 2, 8, 8), "b.png": (3, 1, 8, 8)}
    assert [entry.start_key for entry in data.entries if entry.name == "b.png"] == [None]


def test_clips_of_one_length_share_a_batch(tmp_path: Path) -> None:
    data = encode(clips(tmp_path, a=9, b=9, c=5, d=6), frames=9)
    plan = BatchPlan.of(data.trained, 2, 0)
    for index in range(4):
        assert len({entry.frames for entry in plan.rows(index)}) == 1
    assert plan.batches_per_epoch == 2


def test_what_is_used_and_cut_is_told(tmp_path: Path) -> None:
    notes = encode(clips(tmp_path, long=20, short=6, whole=9), frames=10, fps=16.0).notes
    assert "3 clips of up to 9 frames, from start" in notes
    assert "frames 10: this VAE takes 4n+1, rounded down to 9" in notes
    assert (
        "Cut: long.mp4 (9 of 20 frames, 0.0 to 1.1 s of 2.5 s), short.mp4 (5 of 6 frames, 0.0 to 0.6 s of 0.8 s)"
        in notes
    )
    assert "Shorter than 9 frames, trained at their own length: short.mp4 (5)" in notes
    assert any(note.startswith("Fewer than 16 frames a second, used as they are: long.mp4 (8)") for note in notes)


def test_clips_are_encoded_once(tmp_path: Path) -> None:
    dataset = clips(tmp_path, a=9)
    first, again, more = (FakeEncoder(frame_step=4) for _ in range(3))
    encode(dataset, first, frames=5)
    encode(dataset, again, frames=5)
    encode(dataset, more, frames=9)
    assert (len(first.pictures), again.pictures, len(more.pictures)) == (2, [], 2)


def test_a_vae_for_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DanluError, match=r"videos \(a\.mp4\).*vae.*Wan"):
        encode(clips(tmp_path, a=5), FakeEncoder(frame_step=0))


def test_a_video_that_was_cut_off_meanwhile_is_left_out(tmp_path: Path) -> None:
    dataset = clips(tmp_path, a=12, b=12)
    film(tmp_path / "a.mp4", 4, (64, 64))
    data = encode(dataset, frames=9)
    assert [entry.name for entry in data.entries] == ["b.mp4"]
    assert any("a.mp4 (the video ends before frame" in note for note in data.notes)


@pytest.mark.parametrize("options", [{"frames": 0}, {"frames": -2}, {"fps": -1.0}, {"pick": "end"}])
def test_values_that_cannot_be(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(DanluError, match=next(iter(options))):
        encode(clips(tmp_path, a=5), **options)
