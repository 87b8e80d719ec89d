"""A CLIP-L of the host's class with random weights, for tests that encode captions."""

from __future__ import annotations

import zlib
from functools import cache
from typing import Any

import torch
from torch import Tensor

WIDTH, HIDDEN, LAYERS, VOCABULARY, POSITIONS = 768, 3072, 12, 49408, 77


@cache
def clip_weights() -> dict[str, Tensor]:
    """fp16, in the key layout of the files that people have."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.token_embedding.weight": (VOCABULARY, WIDTH),
        "embeddings.position_embedding.weight": (POSITIONS, WIDTH),
        "final_layer_norm.weight": (WIDTH,),
        "final_layer_norm.bias": (WIDTH,),
    }
    for layer in range(LAYERS):
        start = f"encoder.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= {f"{start}.self_attn.{name}.weight": (WIDTH, WIDTH), f"{start}.self_attn.{name}.bias": (WIDTH,)}
        shapes |= {f"{start}.mlp.fc1.weight": (HIDDEN, WIDTH), f"{start}.mlp.fc1.bias": (HIDDEN,)}
        shapes |= {f"{start}.mlp.fc2.weight": (WIDTH, HIDDEN), f"{start}.mlp.fc2.bias": (WIDTH,)}
        for name in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{start}.{name}.weight": (WIDTH,), f"{start}.{name}.bias": (WIDTH,)}
    weights = {f"text_model.{name}": _random(name, shape) for name, shape in shapes.items()}
    return {**weights, "text_projection.weight": torch.eye(WIDTH, dtype=torch.float16)}


def _random(name: str, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    if len(shape) == 1:
        return torch.full(shape, 1.0 if "norm" in name and name.endswith("weight") else 0.0, dtype=torch.float16)
    return (torch.rand(shape, generator=generator) - 0.5).mul_(3.4 / shape[-1] ** 0.5).to(torch.float16)


def load_clip(changed: str | None = None) -> Any:
    """As the host's loader does; `changed` names a tensor that gets another value."""
    import comfy.sd

    weights = {name: tensor.clone() for name, tensor in clip_weights().items()}
    if changed:
        weights[changed].mul_(2)
    kind = comfy.sd.CLIPType.STABLE_DIFFUSION
    with torch.inference_mode():
        return comfy.sd.load_text_encoder_state_dicts([weights], clip_type=kind)
