"""Encoding with the host's own VAE and CLIP classes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comfy.sd
import numpy as np
import pytest
import torch
from comfy.utils import load_torch_file
from PIL import Image
from torch import Tensor

from danlu.dataset.model import FolderRequest
from danlu.dataset.scan import load_folder
from danlu.errors import DanluError
from danlu.host.encode import HostEncoder
from danlu.training.data import TrainingData
from danlu.training.encode import EncodeOptions, encode_dataset
from danlu.training.reporter import Reporter
from danlu.training.sources import load_pixels

from ..factory import model_file
from .clip import load_clip

CHANGED = "text_model.encoder.layers.5.mlp.fc1.weight"


def load_vae(folder: Path, kind: str, seed: int = 0) -> Any:
    with torch.inference_mode():
        return comfy.sd.VAE(sd=load_torch_file(str(model_file(folder, kind, seed))))


@pytest.fixture(scope="module")
def clip() -> Any:
    return load_clip()


@pytest.fixture(scope="module")
def vae(model_folder: Path) -> Any:
    return load_vae(model_folder, "vae16")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, size in enumerate([(128, 64), (64, 64), (96, 128)]):
        values = np.random.RandomState(number).randint(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"a [trigger], number {number}")
    return folder


def encode(pictures: Path, vae: Any, clip: Any, **options: Any) -> TrainingData:
    """In inference mode, as the server runs nodes."""
    dataset = load_folder(FolderRequest(str(pictures), trigger="dantong"))
    with torch.inference_mode():
        encoder = HostEncoder(vae, clip)
        return encode_dataset(dataset, encoder, pictures.parent / "cache", EncodeOptions(**options), Reporter())


@pytest.mark.parametrize("kind", ["vae4", "vae16"])
def test_same_as_the_hosts_own_encoding(pictures: Path, kind: str, clip: Any, model_folder: Path) -> None:
    vae = load_vae(model_folder, kind)
    data = encode(pictures, vae, clip, resolution="64")
    for entry in data.entries:
        fit = SimpleNamespace(resized=entry.target_size, crop=(0, 0), target=entry.target_size)
        fit.box = (0, 0, entry.target_size[1], entry.target_size[0])
        if entry.original_size == entry.target_size:
            with torch.inference_mode():
                own = vae.encode(load_pixels(pictures / entry.name, fit))[0]  # type: ignore[arg-type]
            assert torch.equal(data.latent(entry), own)
        height, width = entry.target_size
        assert data.latent(entry).shape == (vae.latent_channels, height // 8, width // 8)
        (cross_attn, extras) = clip.encode_from_tokens_scheduled(clip.tokenize(entry.captions[0]))[0]
        mine = data.conditioning(entry)
        assert torch.equal(mine.cross_attn, cross_attn.float())
        assert torch.equal(mine.extras["pooled_output"], extras["pooled_output"].float())


def test_ready_for_training(pictures: Path, vae: Any, clip: Any) -> None:
    data = encode(pictures, vae, clip)
    with torch.inference_mode():
        tensors = [data.latent(data.entries[0]), data.empty_conditioning().cross_attn]
    for tensor in tensors:
        assert (tensor.dtype, tensor.device.type, tensor.is_inference()) == (torch.float32, "cpu", False)
        assert torch.isfinite(tensor).all()


def test_auto_resolution_knows_the_text_encoder(pictures: Path, vae: Any, clip: Any) -> None:
    assert HostEncoder(vae, clip).native_resolution == 512
    other = SimpleNamespace(cond_stage_model=object(), patcher=clip.patcher, layer_idx=None, tokenizer_options={})
    assert HostEncoder(vae, other).native_resolution == 1024


def test_a_reload_is_the_same_and_encodes_nothing(pictures: Path, vae: Any, clip: Any, model_folder: Path) -> None:
    first = encode(pictures, vae, clip)
    times = [file.stat().st_mtime_ns for file in (pictures.parent / "cache").rglob("*.safetensors")]
    again = encode(pictures, load_vae(model_folder, "vae16"), load_clip())
    assert again.fingerprint == first.fingerprint
    assert [f.stat().st_mtime_ns for f in (pictures.parent / "cache").rglob("*.safetensors")] == times


def lora_on(clip: Any, strength: float) -> Any:
    patched = clip.clone()
    key = next(key for key in clip.patcher.model_state_dict() if key.endswith("q_proj.weight"))
    patched.add_patches({key: ("diff", (torch.ones(768, 768) * 0.01,))}, strength)
    return patched


def test_identities(vae: Any, clip: Any, model_folder: Path) -> None:
    plain = HostEncoder(vae, clip)
    skipped = clip.clone()
    skipped.clip_layer(-2)
    others = (skipped, lora_on(clip, 1.0), lora_on(clip, 0.5), load_clip(changed=CHANGED))
    texts = [HostEncoder(vae, other).text_identity for other in others]
    assert len({plain.text_identity, *texts}) == 5
    assert HostEncoder(vae, lora_on(clip, 1.0)).text_identity == texts[1]
    other = HostEncoder(load_vae(model_folder, "vae16", seed=1), clip)
    assert other.vae_identity != plain.vae_identity
    assert other.text_identity == plain.text_identity


def test_a_baked_lora_does_not_change_the_identity(vae: Any, clip: Any) -> None:
    """While a patched clone is loaded, the shared module holds other weights."""
    plain = HostEncoder(vae, clip).text_identity
    patched = lora_on(clip, 1.0)
    mine = HostEncoder(vae, patched).text_identity
    with torch.inference_mode():
        one = patched.encode_from_tokens_scheduled(patched.tokenize("a cat"))[0][0]
        assert HostEncoder(vae, clip).text_identity == plain
        assert HostEncoder(vae, lora_on(clip, 1.0)).text_identity == mine
        other = clip.encode_from_tokens_scheduled(clip.tokenize("a cat"))[0][0]
    assert not torch.equal(one, other)


class VideoVae:
    """What matters of one: several pictures in a call would be frames of one video."""

    latent_dim, output_channels, latent_channels, first_stage_model = 3, 3, 16, object()

    def __init__(self, patcher: Any):
        self.patcher = patcher

    def spacial_compression_encode(self) -> int:
        return 8

    def temporal_compression_decode(self) -> int:
        return 4

    def encode(self, pixels: Tensor) -> Tensor:
        frames = pixels.shape[0]
        return torch.zeros(1, 16, frames, pixels.shape[1] // 8, pixels.shape[2] // 8)


def test_video_vaes_get_one_picture_at_a_time(pictures: Path, vae: Any, clip: Any) -> None:
    data = encode(pictures, VideoVae(vae.patcher), clip, resolution="64")
    assert all(data.latent(entry).shape[:2] == (16, 1) for entry in data.entries)


def test_a_long_caption_is_encoded_whole(pictures: Path, vae: Any, clip: Any) -> None:
    (pictures / "0.txt").write_text("red fox " * 2500)
    data = encode(pictures, vae, clip)
    entry = next(entry for entry in data.entries if entry.name == "0.png")
    assert data.conditioning(entry).cross_attn.shape[1] > 77
    assert any("the first 400 are used" in note for note in data.notes)


def test_what_cannot_be_wired(vae: Any, clip: Any) -> None:
    with pytest.raises(DanluError, match="'clip' is empty.*CLIPLoader"):
        HostEncoder(vae, None)
    with pytest.raises(DanluError, match="'vae' is empty.*VAELoader"):
        HostEncoder(SimpleNamespace(first_stage_model=None), clip)
    with pytest.raises(DanluError, match="'vae' is not one for pictures"):
        HostEncoder(SimpleNamespace(first_stage_model=1, latent_dim=1, output_channels=2), clip)
