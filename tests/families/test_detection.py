"""Families whose detection goes by the full sizes: the small model has the layers that ComfyUI finds the family by.

The full networks live on the meta device: names and shapes, no memory.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import comfy.model_detection
import pytest

from .kind import Kind
from .models import network_of
from .table import KINDS

_UNET: dict[str, Any] = {
    "model_channels": 320,
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
}
_SDXL: dict[str, Any] = {
    "model_channels": 320,
    "num_res_blocks": [2, 2, 2],
    "channel_mult": [1, 2, 4],
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
    "transformer_depth_middle": 10,
    "context_dim": 2048,
    "adm_in_channels": 2816,
    "num_head_channels": 64,
}
FULL: dict[str, dict[str, Any]] = {
    "sd15": {**_UNET, "context_dim": 768},
    "sd21": {**_UNET, "context_dim": 1024, "num_head_channels": 64},
    "sdxl": _SDXL,
    "sdxl_v": _SDXL,
    "zimage": {"dim": 3840, "cap_feat_dim": 2560, "n_heads": 30, "n_kv_heads": 30, "multiple_of": 256},
    "lumina2": {"dim": 2304, "cap_feat_dim": 2304, "n_heads": 24, "n_kv_heads": 8, "axes_dims": [32, 32, 32]},
    "qwen_image": {"num_attention_heads": 24, "attention_head_dim": 128, "joint_attention_dim": 3584}
    | {"axes_dims_rope": (16, 56, 56)},
    "chroma": {"hidden_size": 3072, "num_heads": 24, "context_in_dim": 4096, "out_dim": 3072, "hidden_dim": 5120},
    "ltxv": {"num_attention_heads": 32, "attention_head_dim": 64, "cross_attention_dim": 2048}
    | {"caption_channels": 4096},
    "hidream": {"num_attention_heads": 20, "attention_head_dim": 128, "caption_channels": [4096, 4096]}
    | {"text_emb_dim": 2048, "axes_dims_rope": [64, 32, 32]},
}
FULL["qwen_image_edit"] = FULL["qwen_image"]


def by_class() -> list[Kind]:
    return [kind for kind in KINDS if not kind.detected and kind.row != "generic"]


def test_all_of_them_are_here() -> None:
    assert {kind.name for kind in by_class()} == set(FULL)


@pytest.mark.parametrize("kind", by_class(), ids=lambda kind: kind.name)
def test_the_full_model_is_detected_and_has_the_same_layers(kind: Kind) -> None:
    full = network_of(replace(kind, unet={**kind.unet, **FULL[kind.name]}), "meta").state_dict()
    config = comfy.model_detection.model_config_from_unet(full, "")
    assert config is not None and type(config).__name__ == kind.config
    small = network_of(kind, "meta").state_dict()
    assert layers(small) <= layers(full)


def layers(state: dict[str, Any]) -> set[str]:
    """Names without their numbers: the small model has fewer blocks."""
    return {re.sub(r"\d+", "N", name) for name in state}
