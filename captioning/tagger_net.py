"""The networks of WD-type taggers (files of timm), built of torch's and transformers' own layers. Imported at use.

ViT, SwinV2 and ConvNeXt need nothing more; any other architecture (EVA02) is built by timm where that is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import DanluError

READ = {"act_layer", "window_size", "num_heads", "img_size"}
"""What `model_args` may say for the networks here, besides what can be seen on the weights."""
SEEN = {
    *("class_token", "global_pool", "fc_norm", "embed_dim", "depth", "depths", "dims", "num_classes", "patch_size"),
    *("mlp_ratio", "drop_rate", "drop_path_rate", "proj_drop_rate", "attn_drop_rate"),
}
ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh"}
"""timm's name -> transformers'."""
HEAD_WIDTH = 64
"""Of all of timm's plain ViTs."""
Names = Iterable[tuple[str, str]]
Built = tuple[nn.Module, dict[str, Tensor]]


def build_network(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> nn.Module:
    """In eval mode, with these weights: (N, 3, side, side) -> logits (N, tags).

    `config`: the model's config.json (architecture, model_args). Raises DanluError when the weights are of another
    network.
    """
    architecture, settings = str(config.get("architecture", "")), dict(config.get("model_args") or {})
    own = {"vit": _vit, "swinv2": _swinv2, "convnext": _convnext}.get(architecture.split("_")[0])
    plain = not settings.keys() - READ - SEEN and settings.get("act_layer", "gelu") in ACTIVATIONS
    try:
        network, named = own(settings, weights) if own and plain else _by_timm(architecture, settings, weights)
        network.load_state_dict(named, strict=True, assign=True)
    except DanluError:
        raise
    except (RuntimeError, KeyError, ValueError, StopIteration) as error:
        raise DanluError(
            f"The tagger's weights are not of the network that its config.json names ({architecture}): "
            f"{str(error)[:300]} Download it again: all its files must be of one model."
        ) from error
    return network.eval().requires_grad_(False)


class Vit(nn.Module):
    """timm's VisionTransformer: with or without a class token, normed before or after the mean over all patches."""

    def __init__(self, blocks: nn.Module, weights: Mapping[str, Tensor]):
        super().__init__()
        patch = weights["patch_embed.proj.weight"]
        self.patches = nn.Conv2d(patch.shape[1], patch.shape[0], patch.shape[-1], stride=patch.shape[-1])
        self.pos_embed = nn.Parameter(torch.empty_like(weights["pos_embed"]))
        self.cls_token = nn.Parameter(torch.empty_like(weights["cls_token"])) if "cls_token" in weights else None
        self.blocks = blocks
        width = patch.shape[0]
        self.norm = nn.LayerNorm(width, eps=1e-6) if "norm.weight" in weights else None
        self.fc_norm = nn.LayerNorm(width, eps=1e-6) if "fc_norm.weight" in weights else None
        self.head = nn.Linear(width, weights["head.weight"].shape[0])
        self.of_token = False

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patches(pixels).flatten(2).transpose(1, 2)
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        x = self.blocks(x + self.pos_embed)
        x = x if self.norm is None else self.norm(x)
        first = 0 if self.cls_token is None else 1
        x = x[:, 0] if self.of_token else x[:, first:].mean(dim=1)
        return self.head(x if self.fc_norm is None else self.fc_norm(x))


class Logits(nn.Module):
    """A classifier of transformers, as a plain function."""

    def __init__(self, classifier: nn.Module):
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        return self.classifier(pixel_values=pixels).logits


def _vit(settings: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Built:
    width = weights["patch_embed.proj.weight"].shape[0]
    approximate = "tanh" if settings.get("act_layer") == "gelu_tanh" else "none"
    layer = nn.TransformerEncoderLayer(
        width,
        settings.get("num_heads") or max(1, width // HEAD_WIDTH),
        weights["blocks.0.mlp.fc1.weight"].shape[0],
        dropout=0.0,
        activation=partial(functional.gelu, approximate=approximate),
        layer_norm_eps=1e-6,
        batch_first=True,
        norm_first=True,
    )
    depth = _count(weights, r"blocks\.(\d+)\.")
    network = Vit(nn.TransformerEncoder(layer, depth, enable_nested_tensor=False), weights)
    network.of_token = settings.get("global_pool", "token" if "cls_token" in weights else "avg") == "token"
    names = (
        (r"^blocks\.", "blocks.layers."),
        (r"\.attn\.qkv\.", ".self_attn.in_proj_"),
        (r"\.attn\.proj\.", ".self_attn.out_proj."),
        (r"\.mlp\.fc(\d)\.", r".linear\1."),
        (r"^patch_embed\.proj\.", "patches."),
    )
    return network, _renamed(weights, names)


def _swinv2(settings: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Built:
    from transformers import Swinv2Config, Swinv2ForImageClassification

    stages = _count(weights, r"layers\.(\d+)\.")
    config = Swinv2Config(
        image_size=settings.get("img_size", 256),
        patch_size=weights["patch_embed.proj.weight"].shape[-1],
        embed_dim=weights["patch_embed.proj.weight"].shape[0],
        depths=[_count(weights, rf"layers\.{stage}\.blocks\.(\d+)\.") for stage in range(stages)],
        num_heads=[weights[f"layers.{stage}.blocks.0.attn.logit_scale"].shape[0] for stage in range(stages)],
        window_size=settings.get("window_size", 8),
        mlp_ratio=weights["layers.0.blocks.0.mlp.fc1.weight"].shape[0] / weights["patch_embed.proj.weight"].shape[0],
        hidden_act=ACTIVATIONS[settings.get("act_layer", "gelu")],
        num_labels=_head(weights).shape[0],
    )
    names = (
        (r"^patch_embed\.proj\.", "swinv2.embeddings.patch_embeddings.projection."),
        (r"^patch_embed\.norm\.", "swinv2.embeddings.norm."),
        (r"^layers\.", "swinv2.encoder.layers."),
        (r"^norm\.", "swinv2.layernorm."),
        (r"^head\.(fc\.)?", "classifier."),
        (r"\.attn\.logit_scale", ".attention.self.logit_scale"),
        (r"\.attn\.cpb_mlp\.", ".attention.self.continuous_position_bias_mlp."),
        (r"\.attn\.q\.", ".attention.self.query."),
        (r"\.attn\.k\.", ".attention.self.key."),
        (r"\.attn\.v\.", ".attention.self.value."),
        (r"\.attn\.proj\.", ".attention.output.dense."),
        (r"\.norm1\.", ".layernorm_before."),
        (r"\.norm2\.", ".layernorm_after."),
        (r"\.mlp\.fc1\.", ".intermediate.dense."),
        (r"\.mlp\.fc2\.", ".output.dense."),
    )
    named = _renamed(_split_attention(_downsample_after(weights)), names)
    return Logits(Swinv2ForImageClassification(config)), {f"classifier.{key}": value for key, value in named.items()}


def _convnext(settings: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Built:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    stages = _count(weights, r"stages\.(\d+)\.")
    config = ConvNextConfig(
        patch_size=weights["stem.0.weight"].shape[-1],
        depths=[_count(weights, rf"stages\.{stage}\.blocks\.(\d+)\.") for stage in range(stages)],
        hidden_sizes=[weights[f"stages.{stage}.blocks.0.norm.weight"].shape[0] for stage in range(stages)],
        num_stages=stages,
        hidden_act=ACTIVATIONS[settings.get("act_layer", "gelu")],
        layer_norm_eps=1e-6,
        num_labels=_head(weights).shape[0],
    )
    names = (
        (r"^stem\.0\.", "convnext.embeddings.patch_embeddings."),
        (r"^stem\.1\.", "convnext.embeddings.layernorm."),
        (r"^head\.norm\.", "convnext.layernorm."),
        (r"^head\.(fc\.)?", "classifier."),
        (r"^stages\.", "convnext.encoder.stages."),
        (r"\.downsample\.", ".downsampling_layer."),
        (r"\.blocks\.", ".layers."),
        (r"\.gamma$", ".layer_scale_parameter"),
        (r"\.conv_dw\.", ".dwconv."),
        (r"\.norm\.", ".layernorm."),
        (r"\.mlp\.fc(\d)\.", r".pwconv\1."),
    )
    named = _renamed(weights, names)
    return Logits(ConvNextForImageClassification(config)), {f"classifier.{key}": value for key, value in named.items()}


def _by_timm(architecture: str, settings: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Built:
    """Settings that name files or ask for downloads are none of a network's."""
    try:
        import timm
    except ImportError as error:
        raise DanluError(
            f"The tagger's network, {architecture or 'without a name'} ({', '.join(settings) or 'no settings'}), needs "
            "the package timm: pip install timm, in ComfyUI's Python. Or choose a ViT, SwinV2 or ConvNeXt tagger."
        ) from error
    if not timm.is_model(architecture) or any(re.search("pretrain|checkpoint|cache|file", name) for name in settings):
        raise DanluError(f"timm knows no network {architecture!r} with the settings {', '.join(settings)}.")
    network = timm.create_model(architecture, pretrained=False, **{**settings, "num_classes": _head(weights).shape[0]})
    return network, dict(weights)


def _head(weights: Mapping[str, Tensor]) -> Tensor:
    return weights["head.fc.weight"] if "head.fc.weight" in weights else weights["head.weight"]


def _count(weights: Iterable[str], pattern: str) -> int:
    return 1 + max((int(found[1]) for name in weights if (found := re.match(pattern, name))), default=-1)


def _renamed(weights: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in weights.items():
        for old, new in names:
            name = re.sub(old, new, name)
        renamed[name] = tensor
    return renamed


def _downsample_after(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """timm makes a stage smaller at its start (before version 0.9: at the end of the one before), transformers at its
    end."""
    old = "layers.0.downsample.norm.weight" in weights
    shift = 0 if old else 1

    def moved(name: str) -> str:
        found = re.match(r"layers\.(\d+)\.downsample\.(.*)", name)
        return f"layers.{int(found[1]) - shift}.downsample.{found[2]}" if found else name

    return {moved(name): tensor for name, tensor in weights.items()}


def _split_attention(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One matrix for queries, keys and values becomes three; keys have no bias. Tables of places are made anew."""
    split: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if name.endswith(".attn.qkv.weight"):
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                split[name.replace(".qkv.", f".{letter}.")] = part.contiguous()
        elif found := re.match(r"(.*\.attn\.)(q|v)_bias$", name):
            split[f"{found[1]}{found[2]}.bias"] = tensor
        elif not re.search(r"relative_(coords_table|position_index)$|attn_mask$|\.k_bias$", name):
            split[name] = tensor
    return split
