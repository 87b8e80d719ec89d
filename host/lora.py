"""The host's own names for LoRA layers, and its own reading of our files."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import comfy.lora
import comfy.lora_convert
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..errors import DanluError
from ..training.files import split_key

EFFECT_TOLERANCE = 1e-4


def kohya_names(patcher: ModelPatcher, stems: Iterable[str]) -> dict[str, str]:
    """`diffusion_model.<path>` -> the name that sd-scripts gives that layer, by inverting the host's own map.

    UNets have two: kohya files use the diffusers path, which is the one that other programs read.
    """
    host_names = comfy.lora.model_lora_keys_unet(patcher.model, {})
    by_weight: dict[str, list[str]] = {}
    for name, weight in host_names.items():
        if name.startswith("lora_unet_") and isinstance(weight, str):
            by_weight.setdefault(weight, []).append(name)
    flat = {stem: "lora_unet_" + stem.removeprefix("diffusion_model.").replace(".", "_") for stem in stems}
    return {
        stem: next((n for n in by_weight.get(f"{stem}.weight", ()) if n != plain), plain)
        for stem, plain in flat.items()
    }


def verify(path: Path, lora: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Opens a written file as the host's loader does, and compares what it would add to each weight.

    `lora`: the tensors that were meant, in the file's dtype, keyed `diffusion_model.<path>...`; `names`: their
    stems in the file. Raises DanluError when a key is not matched or an effect differs.
    """
    stems = {split_key(key)[0] for key in lora}
    file = comfy.lora_convert.convert_lora(comfy.utils.load_torch_file(str(path), safe_load=True))
    to_load = {names.get(stem, stem): f"{stem}.weight" for stem in stems}
    found = comfy.lora.load_lora(file, to_load, log_missing=False)
    matched = {key for adapter in found.values() for key in adapter.loaded_keys}
    alphas = {key for key in file if key.endswith(".alpha")}
    lost = sorted(set(file) - matched - alphas) + sorted(f"{s}.weight" for s in stems if f"{s}.weight" not in found)
    if lost:
        raise DanluError(f"{path.name}: ComfyUI's loader does not know {len(lost)} of its keys, first {lost[0]}.")
    for stem in stems:
        _compare(path, stem, found[f"{stem}.weight"], lora)


def _compare(path: Path, stem: str, adapter: object, lora: Mapping[str, Tensor]) -> None:
    up, down = (lora[f"{stem}.lora_{part}.weight"].float() for part in ("up", "down"))
    meant = (up.flatten(1) @ down.flatten(1)) * (float(lora[f"{stem}.alpha"]) / down.shape[0])
    zeros = torch.zeros(up.shape[0], *down.shape[1:])
    read = adapter.calculate_weight(zeros, stem, 1.0, 1.0, None, lambda x: x).flatten(1)  # type: ignore[attr-defined]
    error = (read - meant).norm() / meant.norm().clamp_min(1e-30)
    if not torch.isfinite(error) or (meant.any() and error > EFFECT_TOLERANCE):
        raise DanluError(
            f"{path.name}: read by ComfyUI, layer {stem} differs from the trained one by {float(error):.1e}. "
            "Save with dtype fp32, or report this."
        )
    logging.debug("%s: %s read back with relative error %.1e", path.name, stem, float(error))
