"""Small layers of every kind, their adapters, and what a LoRA file means, written out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from danlu.training.adapters import Adapter, create_adapter
from danlu.training.config import LoRAConfig

from ..training.toys import seeded

ALGORITHMS = ("lora", "rslora", "dora", "pissa", "olora", "loha", "lokr", "oft")
CONFIG = LoRAConfig(rank=3, alpha=1.5, dropout=0.0)

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(6, 12),
    "no bias": lambda: nn.Linear(8, 6, bias=False),
    "conv": lambda: nn.Conv2d(4, 6, kernel_size=3, stride=2, padding=1),
    "wide conv": lambda: nn.Conv2d(4, 6, kernel_size=(3, 1), padding=(2, 0), dilation=(2, 1)),
    "point": lambda: nn.Conv2d(8, 6, kernel_size=1),
    "conv1d": lambda: nn.Conv1d(4, 6, kernel_size=3, padding=1),
    "conv3d": lambda: nn.Conv3d(4, 6, kernel_size=(1, 2, 2), stride=(1, 2, 2)),
}


def config_of(algorithm: str, **changes: object) -> LoRAConfig:
    """OFT has no alpha: it is the rank there."""
    config = replace(CONFIG, algorithm=algorithm, **changes)  # type: ignore[arg-type]
    return replace(config, alpha=float(config.rank)) if algorithm == "oft" else config


def layer_of(kind: str, dtype: torch.dtype = torch.float32) -> nn.Module:
    layer = LAYERS[kind]().to(torch.float64)
    for name, parameter in layer.named_parameters():
        parameter.data.copy_(seeded(f"{kind} {name}", *parameter.shape) * 0.5)
    return layer.requires_grad_(False).to(dtype)


def input_of(kind: str, dtype: torch.dtype = torch.float32) -> Tensor:
    layer = LAYERS[kind]()
    if isinstance(layer, nn.Linear):
        return seeded(kind, 2, 5, layer.in_features).to(dtype)
    return seeded(kind, 2, layer.in_channels, *[6] * (layer.weight.ndim - 2)).to(dtype)  # type: ignore[operator, union-attr, list-item, call-overload]


@contextmanager
def lend(layer: nn.Module, like: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Weight and bias in a buffer that is overwritten when they are given back."""
    weight = layer.weight.to(like, copy=True)
    bias = None if layer.bias is None else layer.bias.to(like, copy=True)
    yield weight, bias
    for lent in (weight, bias):
        if lent is not None:
            lent.data.fill_(torch.nan)


def adapter_for(
    layer: nn.Module, config: LoRAConfig, dtype: torch.dtype = torch.float32, seed: int = 0, moved: bool = True
) -> Adapter:
    """Started, and with `moved` as training might have left it."""
    adapter = create_adapter(layer, config, dtype, seed)
    adapter.start(partial(lend, layer))
    if moved:
        for name, parameter in adapter.named_parameters():
            step = 0.3 if parameter.ndim > 1 else 0.1
            parameter.data += seeded(f"{seed} {name}", *parameter.shape).to(dtype) * step
    return adapter


def changed(tensors: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """The weight that a loader makes of `weight`: the formulas of the file format, dense."""
    if "oft_blocks" in tensors:
        return _turned(tensors["oft_blocks"], weight)
    return _scaled(tensors, weight, _delta(tensors).view(weight.shape))


def _delta(tensors: Mapping[str, Tensor]) -> Tensor:
    alpha = float(tensors["alpha"]) if "alpha" in tensors else None
    if "lora_up.weight" in tensors:
        up, down = tensors["lora_up.weight"].flatten(1), tensors["lora_down.weight"].flatten(1)
        return up @ down * (1.0 if alpha is None else alpha / len(down))
    if "hada_w1_a" in tensors:
        first, second = (tensors[f"hada_w{i}_a"] @ tensors[f"hada_w{i}_b"] for i in (1, 2))
        return first * second * (1.0 if alpha is None else alpha / tensors["hada_w1_b"].shape[0])
    if "lokr_w2" in tensors:
        second, scale = tensors["lokr_w2"], 1.0
    else:
        second = tensors["lokr_w2_a"] @ tensors["lokr_w2_b"]
        scale = 1.0 if alpha is None else alpha / tensors["lokr_w2_b"].shape[0]
    first = tensors["lokr_w1"]
    return torch.kron(first.view(*first.shape, *(1 for _ in second.shape[2:])), second) * scale


def _scaled(tensors: Mapping[str, Tensor], weight: Tensor, delta: Tensor) -> Tensor:
    """`dora_scale` as the host reads it: over the norm of the base's rows."""
    if "dora_scale" not in tensors:
        return weight + delta
    norm = weight.flatten(1).norm(dim=1).view(tensors["dora_scale"].shape)
    return (weight + delta) * tensors["dora_scale"] / norm


def _turned(blocks: Tensor, weight: Tensor) -> Tensor:
    skew = blocks - blocks.transpose(1, 2)
    unit = torch.eye(blocks.shape[-1], dtype=blocks.dtype)
    turn = (unit + skew) @ (unit - skew).inverse()
    rows = weight.unflatten(0, tuple(blocks.shape[:2]))
    return torch.einsum("knm,kn...->km...", turn, rows).flatten(0, 1)
