"""Layers of text encoders in each file format, read by the host's own map and by diffusers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import comfy.lora
import pytest
import torch
from torch import Tensor

from danlu.host.names import file_names
from danlu.training.formats import to_format

from .support import Base, seeded

LAYERS = ("self_attn.q_proj", "self_attn.out_proj", "mlp.fc1")
SHAPES = {"self_attn.q_proj": (8, 8), "self_attn.out_proj": (8, 8), "mlp.fc1": (16, 8)}


def text_model(*encoders: str) -> Any:
    """As much of a CLIP's `cond_stage_model` as the host's map looks at."""
    keys = [
        f"{encoder}.transformer.text_model.encoder.layers.{i}.{layer}.weight"
        for encoder in encoders
        for i in range(2)
        for layer in LAYERS
    ]
    return SimpleNamespace(state_dict=lambda: dict.fromkeys(keys, torch.zeros(1)))


def lora_of(model: Any) -> dict[str, Tensor]:
    found = {}
    for key in model.state_dict():
        stem = f"text_encoders.{key.removesuffix('.weight')}"
        rows, columns = next(shape for layer, shape in SHAPES.items() if f"{layer}.weight" in key)
        found[f"{stem}.lora_up.weight"] = seeded(f"up {key}", rows, 4)
        found[f"{stem}.lora_down.weight"] = seeded(f"down {key}", 4, columns)
        found[f"{stem}.alpha"] = torch.tensor(2.0)
    return found


def written(base: Base, model: Any, format: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(the LoRA by the host's weights, the file)."""
    lora = lora_of(model)
    stems = list(dict.fromkeys(key.rsplit(".", 2)[0] if key.endswith("weight") else key[:-6] for key in lora))
    names = file_names(base.patcher.model, stems, model).of(format, stems)
    return lora, to_format(lora, format, names)


@pytest.mark.parametrize("encoders", [("clip_l",), ("clip_l", "clip_g")])
@pytest.mark.parametrize("format", ["comfy", "kohya", "diffusers"])
def test_the_hosts_map_knows_every_name(sd15_base: Base, format: str, encoders: tuple[str, ...]) -> None:
    model = text_model(*encoders)
    lora, file = written(sd15_base, model, format)
    read = comfy.lora.load_lora(file, comfy.lora.model_lora_keys_clip(model, {}))
    assert read.keys() == model.state_dict().keys()
    assert {key for adapter in read.values() for key in adapter.loaded_keys} == file.keys()
    for key, adapter in read.items():
        stem = f"text_encoders.{key.removesuffix('.weight')}"
        up, down = lora[f"{stem}.lora_up.weight"], lora[f"{stem}.lora_down.weight"]
        delta = adapter.calculate_weight(torch.zeros(len(up), 8), key, 1.0, 1.0, None, lambda x: x)
        assert torch.allclose(delta, up @ down / 2, atol=1e-5)


def test_the_names_that_kohya_gives_them(sd15_base: Base) -> None:
    def starts(*encoders: str) -> set[str]:
        return {key.split("_text_model")[0] for key in written(sd15_base, text_model(*encoders), "kohya")[1]}

    assert starts("clip_l") == {"lora_te"}
    assert starts("clip_l", "clip_g") == {"lora_te1", "lora_te2"}


def test_diffusers_reads_them(sd15_base: Base) -> None:
    from diffusers.loaders.lora_pipeline import StableDiffusionLoraLoaderMixin
    from transformers import CLIPTextConfig, CLIPTextModel

    lora, file = written(sd15_base, text_model("clip_l"), "diffusers")
    encoder = CLIPTextModel(
        CLIPTextConfig(vocab_size=10, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    )
    StableDiffusionLoraLoaderMixin.load_lora_into_text_encoder(file, None, encoder, prefix="text_encoder")
    layers = {name: module for name, module in encoder.named_modules() if hasattr(module, "get_delta_weight")}
    assert len(layers) == 2 * len(LAYERS)
    for name, layer in layers.items():
        path = name[name.index("encoder.layers") :]
        stem = f"text_encoders.clip_l.transformer.text_model.{path}"
        expected = lora[f"{stem}.lora_up.weight"] @ lora[f"{stem}.lora_down.weight"] / 2
        assert torch.allclose(layer.get_delta_weight("default_0"), expected, atol=1e-5), name
