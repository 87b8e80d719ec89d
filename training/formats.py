"""The names of a LoRA's tensors in the formats that programs read.

Ours, and ComfyUI's own for every model ("comfy"): `diffusion_model.<path>.lora_up.weight`, with an alpha.
"kohya": other stems, the same tensors. "diffusers": stems of diffusers' models, where a fused weight (Flux's qkv)
is several layers, and no alpha, since its readers take alpha = rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import DanluError

FORMATS = ("auto", "kohya", "comfy", "diffusers")

_SUFFIXES = ("lora_up.weight", "lora_down.weight", "lora_mid.weight")
_LORA = {"lora_up.weight", "lora_down.weight", "alpha"}
_ALGORITHMS = {"dora_scale": "DoRA", "hada_w1_a": "LoHa", "oft_blocks": "OFT"}


@dataclass(frozen=True)
class Part:
    """A layer as another program names it."""

    name: str
    start: int = 0
    length: int | None = None
    """Which rows of our layer's weight it is; None: all of them."""
    swapped: bool = False
    """Its upper and lower half change places (diffusers keeps scale before shift, the host shift before scale)."""

    def rows(self, weight: Tensor) -> Tensor:
        """The rows of a weight of ours, or of a LoRA's up matrix, that belong to this part."""
        piece = weight if self.length is None else weight.narrow(0, self.start, self.length)
        return torch.cat(piece.chunk(2)[::-1]) if self.swapped else piece


Names = Mapping[str, tuple[Part, ...]]
"""Stem of a layer of ours -> what a format calls it."""


@dataclass(frozen=True)
class FileNames:
    """Names of a run's layers in each format, as the run keeps them: at saving there is no model to ask."""

    kohya: Names
    diffusers: Names

    def of(self, format: str, stems: list[str]) -> Names:
        """Names for `stems`; raises DanluError for a layer that the format has no name for."""
        if format == "comfy":
            return {stem: (Part(stem),) for stem in stems}
        names = self.kohya if format == "kohya" else self.diffusers
        missing = [stem for stem in stems if stem not in names]
        if missing:
            raise DanluError(
                f"format '{format}' has no name for {len(missing)} of the trained layers, first {missing[0]}. "
                "Save with format comfy, which ComfyUI reads for every model."
            )
        return {stem: names[stem] for stem in stems}

    def as_json(self) -> dict[str, Any]:
        return {
            format: {stem: [[p.name, p.start, p.length, p.swapped] for p in parts] for stem, parts in names.items()}
            for format, names in (("kohya", self.kohya), ("diffusers", self.diffusers))
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FileNames:
        return cls(
            **{
                format: {stem: tuple(Part(*part) for part in parts) for stem, parts in data[format].items()}
                for format in ("kohya", "diffusers")
            }
        )


def split_key(key: str) -> tuple[str, str]:
    """ "diffusion_model.x.lora_up.weight" -> ("diffusion_model.x", "lora_up.weight")."""
    for suffix in _SUFFIXES:
        if key.endswith(f".{suffix}"):
            return key[: -len(suffix) - 1], suffix
    stem, _, last = key.rpartition(".")
    return stem, last


def stems_of(lora: Mapping[str, Tensor]) -> list[str]:
    return list(dict.fromkeys(split_key(key)[0] for key in lora))


def to_format(lora: Mapping[str, Tensor], format: str, names: Names) -> dict[str, Tensor]:
    """`lora` under the names of `format`. Raises DanluError when the format cannot carry the algorithm."""
    if format == "diffusers":
        return _to_diffusers(lora, names)
    return {f"{names[stem][0].name}.{suffix}": t for (stem, suffix), t in _split(lora).items()}


def _split(lora: Mapping[str, Tensor]) -> dict[tuple[str, str], Tensor]:
    return {split_key(key): tensor for key, tensor in lora.items()}


def check_format(lora: Mapping[str, Tensor], format: str) -> None:
    """Raises DanluError when `format` cannot carry what is in `lora`: diffusers' has plain LoRA only."""
    if format != "diffusers":
        return
    suffixes = {split_key(key)[1] for key in lora}
    other = sorted(suffixes - _LORA)
    if other:
        kind = next((name for suffix, name in _ALGORITHMS.items() if suffix in suffixes), None)
        kind = kind or ("LoKr" if any(s.startswith("lokr") for s in other) else other[0])
        raise DanluError(f"format 'diffusers' holds plain LoRA, this one is {kind}: save with format kohya or comfy.")


def _to_diffusers(lora: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    """peft's layout. Exact: alpha / rank goes into B, smaller ranks are filled up with zeros (diffusers' loader
    takes one scale for all ranks), and the parts of a fused weight share A and divide B's rows."""
    check_format(lora, "diffusers")
    tensors = _split(lora)
    rank = max(down.shape[0] for (_, suffix), down in tensors.items() if suffix == "lora_down.weight")
    written: dict[str, Tensor] = {}
    for stem in stems_of(lora):
        down, up = tensors[stem, "lora_down.weight"], tensors[stem, "lora_up.weight"]
        scale = float(tensors.get((stem, "alpha"), down.shape[0])) / down.shape[0]
        for part in names[stem]:
            a, b = _suffixes(part.name)
            written[f"{part.name}{a}"] = _filled_up(down, 0, rank)
            written[f"{part.name}{b}"] = _filled_up(part.rows(up) * scale, 1, rank)
    return written


def _suffixes(name: str) -> tuple[str, str]:
    """UNets have the layout from before peft: the host reads no other for their attention, and diffusers reads it."""
    if ".processor." in name:
        return "_lora.down.weight", "_lora.up.weight"
    if name.startswith("unet."):
        return ".lora.down.weight", ".lora.up.weight"
    return ".lora_A.weight", ".lora_B.weight"


def _filled_up(matrix: Tensor, axis: int, size: int) -> Tensor:
    if matrix.shape[axis] == size:
        return matrix.clone()
    shape = list(matrix.shape)
    shape[axis] = size - shape[axis]
    return torch.cat([matrix, matrix.new_zeros(shape)], axis)
