"""Pairs through the host's own VAE, and through a text encoder of its Qwen-Image-Edit classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comfy_extras.nodes_qwen import TextEncodeQwenImageEdit, TextEncodeQwenImageEditPlus
from PIL import Image
from torch import Tensor

from danlu.dataset.model import FolderRequest
from danlu.dataset.scan import load_folder
from danlu.errors import DanluError
from danlu.host.encode import HostEncoder
from danlu.host.preparation import _text
from danlu.training.config import LoRAConfig
from danlu.training.data import TrainingData
from danlu.training.encode import EncodeOptions, encode_dataset
from danlu.training.reporter import Reporter

from .clip import load_clip
from .qwen import load_qwen
from .test_encode_host import load_vae


@pytest.fixture(scope="module")
def vae(model_folder: Path) -> Any:
    return load_vae(model_folder, "vae16")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place, side in enumerate(("before", "after", "extra")):
        (tmp_path / side).mkdir()
        values = np.random.RandomState(place).randint(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(values).save(tmp_path / side / "a.png")
    (tmp_path / "after" / "a.txt").write_text("make it clean")
    return tmp_path


def encode(folder: Path, vae: Any, clip: Any, extra: str = "", **options: Any) -> TrainingData:
    request = FolderRequest("after", roots=(folder,), before_folder="before", before_folder_2=extra)
    chosen = EncodeOptions(resolution="64", **options)
    with torch.inference_mode():
        return encode_dataset(load_folder(request), HostEncoder(vae, clip), folder / "cache", chosen, Reporter())


def opened(path: Path) -> Tensor:
    """As the host's LoadImage."""
    return torch.from_numpy(np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255)[None]


def test_a_before_is_the_hosts_reference_latent(folder: Path, vae: Any) -> None:
    data = encode(folder, vae, load_clip(), flip=True)
    (entry,) = data.entries
    before = opened(folder / "before" / "a.png")
    with torch.inference_mode():
        for flip in (False, True):
            (reference,) = data.references(entry, flip)
            assert torch.equal(reference, vae.encode(before.flip(2) if flip else before))
    assert entry.seen is None, "CLIP-L sees nothing"


@pytest.mark.parametrize("extra", ["", "extra"])
def test_captions_are_what_the_hosts_plus_node_gives(folder: Path, vae: Any, extra: str) -> None:
    clip = load_qwen()
    data = encode(folder, vae, clip, extra)
    (entry,) = data.entries
    images = [opened(folder / side / "a.png") for side in ("before", extra) if side]
    for text, found in (("make it clean", data.conditioning(entry)), ("", data.empty_conditioning(entry))):
        with torch.inference_mode():
            own = TextEncodeQwenImageEditPlus.execute(clip, text, None, *images).args[0]
        assert torch.equal(found.cross_attn, own[0][0])
    plain = encode(folder, vae, clip, extra, edit_prompt="text only")
    assert data.conditioning(entry).cross_attn.shape[1] > 100 * len(images)
    assert plain.conditioning(plain.entries[0]).cross_attn.shape[1] < 100


def test_captions_are_what_the_hosts_older_node_gives(folder: Path, vae: Any) -> None:
    clip = load_qwen()
    data = encode(folder, vae, clip, edit_prompt="Qwen Edit")
    with torch.inference_mode():
        image = opened(folder / "before" / "a.png")
        own = TextEncodeQwenImageEdit.execute(clip, "make it clean", None, image).args[0]
    assert torch.equal(data.conditioning(data.entries[0]).cross_attn, own[0][0])


def test_another_before_gives_another_text(folder: Path, vae: Any) -> None:
    first = encode(folder, vae, load_qwen(), flip=True)
    values = np.random.RandomState(9).randint(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(values).save(folder / "before" / "a.png")
    second = encode(folder, vae, load_qwen(), flip=True)
    texts = [
        data.conditioning(data.entries[0], flip=flip).cross_attn for data in (first, second) for flip in (False, True)
    ]
    assert all(not torch.equal(texts[a], texts[b]) for a in range(4) for b in range(a))


def test_a_text_encoder_that_was_shown_pictures_is_not_trained(folder: Path, vae: Any) -> None:
    config = LoRAConfig(text_encoder="on")
    with pytest.raises(DanluError, match="edit_prompt of Encode Dataset"):
        _text(config, encode(folder, vae, load_qwen()), load_qwen())
    assert _text(config, encode(folder, vae, load_qwen(), edit_prompt="text only"), load_qwen()) is not None
