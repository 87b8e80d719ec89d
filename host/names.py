"""What other programs call the layers of a loaded model, by inverting the host's own maps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import comfy.lora
import comfy.model_base
import comfy.utils
from torch import nn

from ..training.formats import FileNames, Part

_PREFIX = "diffusion_model."
_TEXT_PREFIX = "text_encoders."

# The host's map of Flux has some layers twice, as diffusers' Flux.1 and as its Flux.2 call them.
_FLUX2 = re.compile(r"\.linear_(in|out)$|to_qkv_mlp_proj$|^single_transformer_blocks\.\d+\.attn\.to_out$")
_FLUX1 = re.compile(r"\.net\.\d|^single_transformer_blocks\.\d+\.(attn\.to_[qkv]|proj_mlp|proj_out)$")
_BARE_OUT = re.compile(r"\.attn\.to_out$")
"""Krea 2's `to_out.0`, as some tools write it."""
_CLASSES = re.compile(r"^class_embedding\.")
"""SDXL's size embedding, as it is not called."""


def file_names(model: Any, stems: Iterable[str], text_model: nn.Module | None = None) -> FileNames:
    """Names of the layers `stems` (`diffusion_model.<path>`, `text_encoders.<path>`) in each file format.

    `model`: a `comfy.model_base.BaseModel`; `text_model`: a CLIP's `cond_stage_model`.
    """
    stems = list(stems)
    own = [stem for stem in stems if stem.startswith(_PREFIX)]
    kohya, diffusers = _kohya(model, own), _diffusers(model, own)
    if text_model is not None:
        text = {stem for stem in stems if stem.startswith(_TEXT_PREFIX)}
        alone = len({key.split(".")[0] for key in text_model.state_dict()}) == 1
        kohya |= _text_names(text_model, text, "lora_te_" if alone else r"lora_te\d_")
        diffusers |= _text_names(text_model, text, r"text_encoder(_\d)?\.")
    return FileNames(kohya, diffusers)


def _kohya(model: Any, stems: Iterable[str]) -> dict[str, tuple[Part, ...]]:
    """sd-scripts' names: of diffusers' paths for SD1 and SD2, of the original paths for everything else."""
    base = comfy.model_base
    flat = {stem: stem.removeprefix(_PREFIX) for stem in stems}
    if not isinstance(model, (base.SDXL, base.SDXLRefiner)):
        paths = _inverted(comfy.utils.unet_to_diffusers(model.model_config.unet_config))
        flat = {stem: paths[path][0].name if path in paths else path for stem, path in flat.items()}
    return {stem: (Part("lora_unet_" + path.replace(".", "_")),) for stem, path in flat.items()}


def _diffusers(model: Any, stems: Iterable[str]) -> dict[str, tuple[Part, ...]]:
    """Paths in diffusers' own models.

    Families without a map in the host keep its generic names, from which diffusers' converters start.
    """
    base, config = comfy.model_base, model.model_config.unet_config
    if "num_res_blocks" in config:
        return _of(stems, _inverted(comfy.utils.unet_to_diffusers(config), _CLASSES), _unet_name)
    maps: tuple[tuple[type, Callable[[Mapping[str, Any]], Mapping[str, Any]], re.Pattern[str] | None], ...] = (
        (base.SD3, comfy.utils.mmdit_to_diffusers, None),
        (base.AuraFlow, comfy.utils.auraflow_to_diffusers, None),
        (base.PixArt, comfy.utils.pixart_to_diffusers, None),
        (base.Flux2, comfy.utils.flux_to_diffusers, _FLUX1),
        (base.Flux, comfy.utils.flux_to_diffusers, _FLUX2),
        (base.Krea2, comfy.utils.krea2_to_diffusers, _BARE_OUT),
    )
    for kind, build, without in maps:
        if isinstance(model, kind):
            return _of(stems, _inverted(build(config), without), "transformer.{}".format)
    if isinstance(model, base.Lumina2) and config.get("z_image_modulation"):
        return _of(stems, _inverted(comfy.utils.z_image_to_diffusers(config)), "transformer.{}".format)
    same = type(model) in (base.QwenImage, base.HiDream, base.Kandinsky5, base.ErnieImage)
    prefix = "transformer." if same else _PREFIX
    return {stem: (Part(prefix + stem.removeprefix(_PREFIX)),) for stem in stems}


def _inverted(paths: Mapping[str, Any], without: re.Pattern[str] | None = None) -> dict[str, list[Part]]:
    """{diffusers' path: the host's, or (the host's, (axis 0, start, length)), or (the host's, None, swap)} ->
    {the host's path: parts with diffusers' paths}, weights only."""
    found: dict[str, list[Part]] = {}
    for key in sorted(paths):
        path, target = key.removesuffix(".weight"), paths[key]
        if path == key or (without is not None and without.search(path)):
            continue
        where, cut, swap = (*target, None, None)[:3] if isinstance(target, tuple) else (target, None, None)
        start, length = cut[1:] if cut else (0, None)
        found.setdefault(where.removesuffix(".weight"), []).append(Part(path, start, length, swap is not None))
    return found


def _of(
    stems: Iterable[str], paths: Mapping[str, list[Part]], name: Callable[[str], str]
) -> dict[str, tuple[Part, ...]]:
    by_stem = {stem: paths.get(stem.removeprefix(_PREFIX), []) for stem in stems}
    return {
        stem: tuple(Part(name(p.name), p.start, p.length, p.swapped) for p in sorted(parts, key=lambda p: p.start))
        for stem, parts in by_stem.items()
        if parts
    }


def _unet_name(path: str) -> str:
    """As `comfy.lora.model_lora_keys_unet` spells diffusers' UNet layers."""
    path = path.replace(".to_", ".processor.to_")
    return "unet." + (path.removesuffix(".0") if path.endswith(".to_out.0") else path)


def _text_names(text_model: nn.Module, stems: set[str], pattern: str) -> dict[str, tuple[Part, ...]]:
    """Names in the host's map of text encoder layers that match `pattern`."""
    names = comfy.lora.model_lora_keys_clip(text_model, {})
    found: dict[str, tuple[Part, ...]] = {}
    for name in filter(re.compile(pattern).match, sorted(names)):
        stem = _TEXT_PREFIX + str(names[name]).removesuffix(".weight")
        if stem in stems:
            found.setdefault(stem, (Part(name),))
    return found
