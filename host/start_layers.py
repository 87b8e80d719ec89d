"""What the host's loader read of one weight, as matrices that an adapter can go on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from comfy.weight_adapter import LoHaAdapter, LoKrAdapter, LoRAAdapter, OFTAdapter
from torch import Tensor

from ..training.adapters import StartLayer

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    """What the host's loader would do to one weight, or to some of its rows."""

    adapter: Any
    start: int = 0
    length: int | None = None
    """Of the rows; None: all."""
    function: Any = None
    """What it does to the change before it is added (halves that change places), or None."""

    @property
    def whole(self) -> bool:
        return self.length is None and self.function is None


def can_go_on(piece: Piece) -> bool:
    return type(piece.adapter) in _READERS


def start_layer(pieces: list[Piece], shape: Shape) -> tuple[str, StartLayer]:
    """(algorithm, matrices) for a weight of `shape`. Raises ValueError for what does not fit or has no such form."""
    if len(pieces) == 1 and pieces[0].whole:
        algorithm, layer = _READERS[type(pieces[0].adapter)](pieces[0].adapter.weights, shape)
    else:
        algorithm, layer = "lora", _stacked(pieces, shape)
    _check_shape(layer, algorithm, shape)
    return algorithm, layer


def _check_shape(layer: StartLayer, algorithm: str, shape: Shape) -> None:
    rows, columns = shape[0], prod(shape[1:])
    sizes = {key: tuple(tensor.shape) for key, tensor in layer.tensors.items()}
    wide, tall = (layer.rank, columns), (rows, layer.rank)
    if algorithm == "loha":
        fits = list(sizes.values()) == [tall, wide, tall, wide]
    elif algorithm == "oft":
        blocks, size, width = sizes["oft_blocks"]
        fits = blocks * size == rows and size == width
    elif algorithm == "lokr":
        first, second = (_factor(sizes, name) for name in ("lokr_w1", "lokr_w2"))
        fits = (first[0] * second[0], first[1] * second[1]) == (rows, columns)
    else:
        fits = (sizes["lora_up.weight"], sizes["lora_down.weight"]) == (tall, wide)
    if not fits:
        raise ValueError(f"its matrices are {', '.join('x'.join(map(str, size)) for size in sizes.values())}")


def _factor(sizes: Mapping[str, Shape], name: str) -> Shape:
    """Rows and columns of one factor of a Kronecker product."""
    if name in sizes:
        return sizes[name][0], prod(sizes[name][1:])
    return sizes[f"{name}_a"][0], prod(sizes[f"{name}_b"][1:])


def _lora(weights: Any, shape: Shape) -> tuple[str, StartLayer]:
    up, down, alpha, middle, dora_scale, reshape = weights
    if reshape is not None:
        raise ValueError("it makes the layer larger")
    if middle is not None:
        # LoCon's core tensor (r, r, height, width) belongs to the inner matrix.
        down = torch.einsum("ij...,jr->ir...", middle.float(), down.float().flatten(1))
    tensors = _floats({"lora_up.weight": up.flatten(1), "lora_down.weight": down.flatten(1)})
    algorithm = "lora"
    if dora_scale is not None:
        if dora_scale.numel() != shape[0] or dora_scale.shape[0] != shape[0]:
            raise ValueError("its dora_scale is not one number a row")
        algorithm, tensors["dora_scale"] = "dora", dora_scale.float().flatten()
    return algorithm, StartLayer(len(down), _alpha(alpha, len(down)), tensors)


def _stacked(pieces: list[Piece], shape: Shape) -> StartLayer:
    """LoRAs of parts of a fused weight (q, k and v of a qkv) as one of the whole: exact, of all their ranks together,
    or of one where they share their inner matrix."""
    ups, downs = [], []
    for piece in pieces:
        if not isinstance(piece.adapter, LoRAAdapter):
            raise ValueError(f"it is a {piece.adapter.name} of a part of a fused layer")
        rows = shape[0] if piece.length is None else piece.length
        algorithm, part = _lora(piece.adapter.weights, (rows, *shape[1:]))
        if algorithm != "lora":
            raise ValueError("it is a DoRA of a part of a fused layer")
        _check_shape(part, algorithm, (rows, *shape[1:]))
        up = part.tensors["lora_up.weight"] * (part.alpha / part.rank)
        whole = up.new_zeros(shape[0], part.rank)
        whole.narrow(0, piece.start, rows).copy_(up if piece.function is None else piece.function(up))
        ups.append(whole)
        downs.append(part.tensors["lora_down.weight"])
    if all(torch.equal(down, downs[0]) for down in downs):
        up, down = torch.stack(ups).sum(0), downs[0]
    else:
        up, down = torch.cat(ups, 1), torch.cat(downs)
    return StartLayer(len(down), float(len(down)), {"lora_up.weight": up, "lora_down.weight": down})


def _loha(weights: Any, _shape: Shape) -> tuple[str, StartLayer]:
    w1_a, w1_b, alpha, w2_a, w2_b, core, _, dora_scale = weights
    if core is not None or dora_scale is not None:
        raise ValueError("it is a LoHa with a core tensor or with DoRA")
    tensors = {"hada_w1_a": w1_a, "hada_w1_b": w1_b, "hada_w2_a": w2_a, "hada_w2_b": w2_b}
    return "loha", StartLayer(len(w1_b), _alpha(alpha, len(w1_b)), _floats(tensors))


def _lokr(weights: Any, _shape: Shape) -> tuple[str, StartLayer]:
    w1, w2, alpha, w1_a, w1_b, w2_a, w2_b, core, dora_scale = weights
    if core is not None or dora_scale is not None:
        raise ValueError("it is a LoKr with a core tensor or with DoRA")
    first = {"lokr_w1": w1} if w1 is not None else {"lokr_w1_a": w1_a, "lokr_w1_b": w1_b}
    second = {"lokr_w2": w2} if w2 is not None else {"lokr_w2_a": w2_a, "lokr_w2_b": w2_b}
    inner = w2_b if w2 is None else w1_b
    # The host reads no alpha where both factors are full.
    rank, alpha = (1, None) if inner is None else (len(inner), alpha)
    return "lokr", StartLayer(rank, _alpha(alpha, rank), _floats({**first, **second}))


def _oft(weights: Any, _shape: Shape) -> tuple[str, StartLayer]:
    blocks, rescale, limit, dora_scale = weights
    if rescale is not None or limit or dora_scale is not None:
        raise ValueError("it is an OFT with a limit or a rescale")
    size = blocks.shape[1]
    return "oft", StartLayer(size, float(size), _floats({"oft_blocks": blocks}))


def _alpha(alpha: float | None, rank: int) -> float:
    return float(rank) if alpha is None else float(alpha)


def _floats(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor.float() for key, tensor in tensors.items()}


_READERS: dict[type, Any] = {LoRAAdapter: _lora, LoHaAdapter: _loha, LoKrAdapter: _lokr, OFTAdapter: _oft}
