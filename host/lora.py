"""The host's own reading of our LoRA files."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import comfy.lora
import comfy.lora_convert
import comfy.sd
import comfy.utils
import torch
from torch import Tensor

from ..errors import DanluError
from ..training.formats import Names, Part, split_key, stems_of

EFFECT_TOLERANCE = 1e-4
ROWS = 32
MOST_ELEMENTS = 2**21
"""Weights up to this size are made up to see an effect."""


def verify(path: Path, lora: Mapping[str, Tensor], names: Names) -> None:
    """Opens a written file as the host's loader does, and compares what it would do to each weight.

    `lora`: the tensors that were meant, in the file's dtype, keyed `diffusion_model.<path>...`; `names`: what the
    file calls their stems. Raises DanluError when a key is not matched or an effect differs.
    """
    file = comfy.lora_convert.convert_lora(comfy.utils.load_torch_file(str(path), safe_load=True))
    parts = {part.name: (stem, part) for stem in stems_of(lora) for part in names[stem]}
    found = comfy.lora.load_lora(file, {name: name for name in parts}, log_missing=False)
    matched = {key for adapter in found.values() for key in adapter.loaded_keys}
    beside = {key for key in file if key.endswith((".alpha", ".dora_scale"))}
    lost = sorted(set(file) - matched - beside) + sorted(parts.keys() - found.keys())
    if lost:
        raise DanluError(f"{path.name}: ComfyUI's loader does not know {len(lost)} of its keys, first {lost[0]}.")
    layers: dict[str, dict[str, Tensor]] = {}
    for key, tensor in lora.items():
        stem, suffix = split_key(key)
        layers.setdefault(stem, {})[suffix] = tensor
    for name, (stem, part) in parts.items():
        layer = layers[stem]
        error = _lora_error(found[name], layer, part) if _is_plain(layer) else _other_error(found[name], layer)
        if not error <= _tolerance(layer, f"{name}.alpha" in file):
            raise DanluError(
                f"{path.name}: read by ComfyUI, layer {name} differs from the trained one by {error:.1e}. "
                "Save with dtype fp32, or report this."
            )
        logging.debug("%s: %s read back with relative error %.1e", path.name, name, error)


def _is_plain(layer: Mapping[str, Tensor]) -> bool:
    return "lora_up.weight" in layer and "dora_scale" not in layer


def _tolerance(layer: Mapping[str, Tensor], has_alpha: bool) -> float:
    """Where alpha went into the matrix, that was rounded once more."""
    dtype = next(tensor.dtype for tensor in layer.values() if tensor.ndim > 1)
    return EFFECT_TOLERANCE if has_alpha else EFFECT_TOLERANCE + 2 * torch.finfo(dtype).eps


def _lora_error(found: Any, layer: Mapping[str, Tensor], part: Part) -> float:
    """Relative error of one layer by LoRA's own formula: of both factors as the host holds them, and of what it adds
    to some rows of the weight. (All rows of a large model's would take minutes.)"""
    up, down, alpha = found.weights[:3]
    meant_up, meant_down = part.rows(layer["lora_up.weight"]).float(), layer["lora_down.weight"].float()
    scale = float(layer["alpha"]) / len(meant_down)
    meant_up *= scale
    rank = len(meant_down)  # the file's may be larger, filled up with zeros
    factors = _relative(up[:, :rank].float() * (1.0 if alpha is None else alpha / len(down)), meant_up)
    factors = max(factors, _relative(down[:rank].float(), meant_down), float(down[rank:].float().norm()))
    rows = torch.linspace(0, len(up) - 1, min(len(up), ROWS)).long()
    some = type(found)(found.loaded_keys, (up[rows], *found.weights[1:]))
    read = _effect(some, torch.zeros(len(rows), *down.shape[1:]))
    return max(factors, _relative(read.flatten(1), meant_up[rows].flatten(1) @ meant_down.flatten(1)))


def _other_error(found: Any, layer: Mapping[str, Tensor]) -> float:
    """0 when the host has read the very tensors that were meant; their effect is the host's own matter, but there
    has to be one."""
    meant = comfy.lora.load_lora({f"x.{k}": t for k, t in layer.items()}, {"x": "x"}, log_missing=False)["x"]
    shape = _weight_shape(layer)
    if math.prod(shape) <= MOST_ELEMENTS:
        weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        if not _effect(meant, weight).any() and all(tensor.any() for tensor in layer.values()):
            raise DanluError("ComfyUI applies nothing of this LoRA, though none of its tensors is zero. Report this.")
    same = len(found.weights) == len(meant.weights) and all(map(_equal, found.weights, meant.weights))
    return 0.0 if same else math.inf


def _equal(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b


def _relative(found: Tensor, expected: Tensor) -> float:
    size = expected.norm()
    return float((found - expected).norm() / size) if size else float(found.norm())


def _effect(adapter: Any, weight: Tensor) -> Tensor:
    return adapter.calculate_weight(weight.clone(), "", 1.0, 1.0, None, lambda x: x) - weight


def _weight_shape(layer: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Shape of a weight that the adapter fits."""
    if "lora_up.weight" in layer:
        return (layer["lora_up.weight"].shape[0], *layer["lora_down.weight"].shape[1:])
    if "oft_blocks" in layer:
        count, size = layer["oft_blocks"].shape[:2]
        return count * size, 8
    if "hada_w1_a" in layer:
        return layer["hada_w1_a"].shape[0], layer["hada_w1_b"].shape[1]
    (rows, columns), (more_rows, *more_columns) = (_kron_factor(layer, name) for name in ("lokr_w1", "lokr_w2"))
    return rows * more_rows, columns * more_columns[0], *more_columns[1:]


def _kron_factor(layer: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    if name in layer:
        return tuple(layer[name].shape)
    return layer[f"{name}_a"].shape[0], *layer[f"{name}_b"].shape[1:]


def applied(model: Any, clip: Any, lora: Mapping[str, Tensor], strength: float) -> tuple[Any, Any]:
    """The MODEL, and the CLIP where there is one, with a LoRA as the host's own loader applies it."""
    if strength == 0:
        return model, clip
    return comfy.sd.load_lora_for_models(model, clip, lora, strength, strength)
