"""What the target presets take in every family's own layout, spelled out."""

from __future__ import annotations

import re
from collections.abc import Sequence

import comfy.supported_models
import pytest
import torch
from torch import nn

from danlu.training.config import LoRAConfig
from danlu.training.targets import is_conv, is_linear, select

from ..families.table import KINDS, Kind

_UNET_BLOCKS = ("input_blocks.N.N", "middle_block.N", "output_blocks.N.N")
_TRANSFORMER = "transformer_blocks.N"
_ATTN = tuple(f"{_TRANSFORMER}.attnN.{name}" for name in ("to_q", "to_k", "to_v", "to_out.N"))
_FF = (f"{_TRANSFORMER}.ff.net.N.proj", f"{_TRANSFORMER}.ff.net.N")
_QWEN = tuple(
    f"{_TRANSFORMER}.attn.{name}"
    for name in ("to_q", "to_k", "to_v", "to_out.N", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
)


def _each(places: Sequence[str], names: Sequence[str]) -> set[str]:
    return {f"{place}.{name}" for place in places for name in names}


Layers = tuple[set[str], set[str]]
"""Attention projections, feed-forward; every number an N."""
UNET: Layers = (_each(_UNET_BLOCKS, ("proj_in", *_ATTN, "proj_out")), _each(_UNET_BLOCKS, _FF))
# A single block's first matrix is qkv and half of the MLP in one, its second the other halves.
FLUX: Layers = (
    {*_each(("double_blocks.N",), ("img_attn.qkv", "img_attn.proj", "txt_attn.qkv", "txt_attn.proj"))}
    | {"single_blocks.N.linearN"},
    {"double_blocks.N.img_mlp.N", "double_blocks.N.txt_mlp.N"},
)
_LUMINA_BLOCKS = ("noise_refiner.N", "context_refiner.N", "layers.N")
LUMINA: Layers = (
    _each(_LUMINA_BLOCKS, ("attention.qkv", "attention.out")),
    _each(_LUMINA_BLOCKS, ("feed_forward.wN",)),
)
QWEN: Layers = (
    set(_QWEN),
    _each((_TRANSFORMER,), [f"{s}_mlp.net.N{p}" for s in ("img", "txt") for p in ("", ".proj")]),
)
WAN: Layers = (_each(("blocks.N.self_attn", "blocks.N.cross_attn"), "qkvo"), {"blocks.N.ffn.N"})
SD3: Layers = (
    _each(("joint_blocks.N.context_block.attn", "joint_blocks.N.x_block.attn"), ("qkv", "proj")),
    _each(("joint_blocks.N.context_block.mlp", "joint_blocks.N.x_block.mlp"), ("fcN",)),
)
_KREA_BLOCKS = ("blocks.N", "txtfusion.layerwise_blocks.N", "txtfusion.refiner_blocks.N")
KREA: Layers = (
    _each(_KREA_BLOCKS, [f"attn.{name}" for name in ("wq", "wk", "wv", "gate", "wo")]),
    _each(_KREA_BLOCKS, [f"mlp.{name}" for name in ("gate", "up", "down")]),
)
_HIDREAM_ATTN = [f"block.attnN.to_{name}" for name in ("q", "k", "v", "out")]
HIDREAM: Layers = (
    _each(("double_stream_blocks.N",), [*_HIDREAM_ATTN, *(f"{name}_t" for name in _HIDREAM_ATTN)])
    | _each(("single_stream_blocks.N",), _HIDREAM_ATTN),
    _each(
        ("double_stream_blocks.N.block", "single_stream_blocks.N.block"),
        ("ff_i.shared_experts.wN", "ff_i.experts.N.wN"),
    )
    | {"double_stream_blocks.N.block.ff_t.wN"},
)
_ANIMA_ATTN = ("self_attn", "cross_attn")
ANIMA: Layers = (
    _each([f"blocks.N.{a}" for a in _ANIMA_ATTN], ("q_proj", "k_proj", "v_proj", "output_proj"))
    | _each([f"llm_adapter.blocks.N.{a}" for a in _ANIMA_ATTN], ("q_proj", "k_proj", "v_proj", "o_proj")),
    {"blocks.N.mlp.layerN", "llm_adapter.blocks.N.mlp.N"},
)
ERNIE: Layers = (
    _each(("layers.N.self_attention",), ("to_q", "to_k", "to_v", "to_out.N")),
    _each(("layers.N.mlp",), ("gate_proj", "up_proj", "linear_fcN")),
)
JOY: Layers = (
    _each(("double_blocks.N.attn",), [f"{side}_attn_{name}" for side in ("img", "txt") for name in ("qkv", "proj")]),
    _each(("double_blocks.N.img_mlp", "double_blocks.N.txt_mlp"), ("net.N.proj", "net.N")),
)
AURAFLOW: Layers = (
    _each(("double_layers.N.attn", "single_layers.N.attn"), ("wNq", "wNk", "wNv", "wNo")),
    _each(("double_layers.N.mlpC", "double_layers.N.mlpX", "single_layers.N.mlp"), ("c_fcN", "c_proj")),
)
_KANDINSKY = ("to_query", "to_key", "to_value", "out_layer")
_KANDINSKY_ATTN = (
    "text_transformer_blocks.N.self",
    "visual_transformer_blocks.N.self",
    "visual_transformer_blocks.N.cross",
)
KANDINSKY: Layers = (
    _each([f"{place}_attention" for place in _KANDINSKY_ATTN], _KANDINSKY),
    _each([f"{side}_transformer_blocks.N.feed_forward" for side in ("text", "visual")], ("in_layer", "out_layer")),
)
IDEOGRAM: Layers = (_each(("layers.N.attention",), ("qkv", "o")), {"layers.N.feed_forward.wN"})
_OMNIGEN = ("noise_refiner.N", "ref_image_refiner.N", "context_refiner.N", "layers.N")
OMNIGEN: Layers = (
    _each([f"{place}.attn" for place in _OMNIGEN], ("to_q", "to_k", "to_v", "to_out.N")),
    _each(_OMNIGEN, ("feed_forward.linear_N",)),
)
EXPECTED: dict[str, Layers] = {
    "UNetModel": UNET,
    "Flux": FLUX,
    "Chroma": FLUX,
    "HunyuanVideo": FLUX,
    "NextDiT": LUMINA,
    "QwenImageTransformer2DModel": QWEN,
    "WanModel": WAN,
    "OpenAISignatureMMDITWrapper": SD3,
    "LTXVModel": (set(_ATTN), set(_FF)),
    "SingleStreamDiT": KREA,
    "Anima": ANIMA,
    "ErnieImageModel": ERNIE,
    "JoyImageTransformer3DModel": JOY,
    "MMDiT": AURAFLOW,
    "Kandinsky5": KANDINSKY,
    "Ideogram4Transformer2DModel": IDEOGRAM,
    "OmniGen2Transformer2DModel": OMNIGEN,
    "MageFlowTransformer2DModel": QWEN,
    "HiDreamImageTransformer2DModel": HIDREAM,
}
OPTIONAL = {
    *_each(("joint_blocks.N.x_block.attnN",), ("qkv", "proj")),
    *_each(("blocks.N.cross_attn",), ("k_img", "v_img")),
}
"""SD3.5 medium has a second attention in some blocks; Wan's image-to-video reads a picture beside the text."""


def network_of(kind: Kind) -> nn.Module:
    """Without storage: names and classes are all that counts."""
    config = getattr(comfy.supported_models, kind.config)(dict(kind.unet))
    config.set_inference_dtype(torch.float32, None)
    return config.get_model({mark: torch.zeros(1) for mark in kind.marks}, "", device="meta").diffusion_model


def taken(network: nn.Module, targets: str) -> set[str]:
    names = {re.sub(r"\d+", "N", name) for name in select(network, LoRAConfig(rank=4, targets=targets))}
    return names - OPTIONAL


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_presets(kind: Kind) -> None:
    network = network_of(kind)
    attention, mlp = EXPECTED[type(network).__name__]
    assert taken(network, "attention") == attention
    assert taken(network, "attention+mlp") == attention | mlp


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_all_linear_is_all(kind: Kind) -> None:
    network = network_of(kind)
    everything = {name for name, module in network.named_modules() if is_linear(module)}
    assert select(network, LoRAConfig(rank=4, targets="all-linear")).keys() == everything
    attention = taken(network, "attention")
    assert attention < taken(network, "attention+mlp") < taken(network, "all-linear") | attention


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "num_res_blocks" in kind.unet], ids=lambda kind: kind.name)
def test_conv_targets_take_every_convolution(kind: Kind) -> None:
    network = network_of(kind)
    chosen = select(network, LoRAConfig(rank=4, targets="all-linear+conv"))
    assert chosen.keys() == {name for name, module in network.named_modules() if is_linear(module) or is_conv(module)}
