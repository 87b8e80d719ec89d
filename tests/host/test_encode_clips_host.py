"""Videos through the host's own Wan VAE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comfy_extras.nodes_wan import WanImageToVideo
from torch import Tensor

from danlu.dataset.clips import frames, probe_clip
from danlu.dataset.model import Dataset, Picture
from danlu.errors import DanluError
from danlu.host.encode import HostEncoder
from danlu.training.clips import ClipOptions
from danlu.training.data import TrainingData
from danlu.training.encode import EncodeOptions, encode_dataset
from danlu.training.reporter import Reporter

from ..dataset.films import film
from .clip import load_clip
from .test_encode_host import load_vae

FRAMES = 9


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    clip, size = probe_clip(film(tmp_path / "a.mp4", 12, (64, 64)))
    return Dataset(tmp_path, (Picture(tmp_path / "a.mp4", "a.mp4", size, "a film", 1, clip=clip),), "")


def encode(dataset: Dataset, vae: Any) -> TrainingData:
    options = EncodeOptions(resolution="64", clips=ClipOptions(FRAMES))
    with torch.inference_mode():
        encoder = HostEncoder(vae, load_clip())
        return encode_dataset(dataset, encoder, dataset.folder / "cache", options, Reporter())


def pixels(dataset: Dataset) -> Tensor:
    found = [np.asarray(frame, dtype=np.float32) / 255 for frame in frames(dataset.pictures[0].path, range(FRAMES))]
    return torch.from_numpy(np.stack(found))


def test_a_clip_is_what_the_host_makes_of_its_frames(dataset: Dataset, model_folder: Path) -> None:
    vae = load_vae(model_folder, "wan_vae")
    data = encode(dataset, vae)
    (entry,) = data.entries
    with torch.inference_mode():
        own = vae.encode(pixels(dataset))
    assert data.latent(entry).shape == (16, 3, 8, 8)
    assert torch.equal(data.latent(entry)[None], own)


def test_the_start_is_what_the_hosts_image_to_video_node_shows(dataset: Dataset, model_folder: Path) -> None:
    vae = load_vae(model_folder, "wan_vae")
    data = encode(dataset, vae)
    empty = [[torch.zeros(1, 1, 8), {}]]
    with torch.inference_mode():
        first = pixels(dataset)[:1]
        made = WanImageToVideo.execute(empty, empty, vae, 64, 64, FRAMES, 1, start_image=first).args[0]
    start = data.start(data.entries[0])
    assert start is not None
    assert torch.allclose(start, made[0][1]["concat_latent_image"], atol=1e-5)


def test_a_vae_for_pictures_is_refused(dataset: Dataset, model_folder: Path) -> None:
    with pytest.raises(DanluError, match=r"a\.mp4.*single pictures"):
        encode(dataset, load_vae(model_folder, "vae16"))
