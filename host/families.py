"""Which family a loaded MODEL belongs to, and what its file's name says of it.

Families follow from the host's own detection, which reads weights. A few things no weight tells: which expert of
Wan 2.2 a file holds, and whether a base was distilled. The file's name does, where the loader left it on the model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.model_base
import comfy.supported_models
from comfy.model_patcher import ModelPatcher

from ..training.objective import Prediction

_kinds = comfy.supported_models

_FAMILIES: tuple[tuple[type, str], ...] = (
    (_kinds.SD15_instructpix2pix, "generic"),
    (_kinds.SDXL_instructpix2pix, "generic"),
    (_kinds.SD15, "sd15"),
    (_kinds.LotusD, "generic"),
    (_kinds.SD20, "sd21"),
    (_kinds.SDXL, "sdxl"),
    (_kinds.SD3, "sd3"),
    (_kinds.Flux2, "flux2"),
    (_kinds.FluxInpaint, "generic"),
    (_kinds.Flux, "flux"),
    (_kinds.ChromaRadiance, "generic"),
    (_kinds.Chroma, "chroma"),
    (_kinds.ZImagePixelSpace, "generic"),
    (_kinds.ZImage, "zimage"),
    (_kinds.Lumina2, "lumina2"),
    (_kinds.QwenImage, "qwen_image"),
    (_kinds.Krea2, "krea2"),
    (_kinds.WAN22_T2V, "wan22_5b"),
    (_kinds.HunyuanImage21, "hunyuan_image"),
    (_kinds.HunyuanVideo15, "hunyuan_video15"),
    (_kinds.HunyuanVideo, "hunyuan_video"),
    (_kinds.HiDream, "hidream"),
    (_kinds.LTXAV, "generic"),
    (_kinds.LTXV, "ltxv"),
)
"""The first that fits: subclasses stand before what they derive from."""

_WAN = (_kinds.WAN21_T2V, _kinds.WAN21_I2V)
_EDITS = {"flux": "kontext", "qwen_image": "qwen_image_edit"}
"""Families whose edit models have the same layout: the training data tells."""

_HIGH = re.compile(r"high[-_ ]?noise|(^|[-_ .])high([-_ .]|$)", re.IGNORECASE)
_LOW = re.compile(r"low[-_ ]?noise|(^|[-_ .])low([-_ .]|$)", re.IGNORECASE)
_WAN22 = re.compile(r"wan[-_ .]?2[._]?2", re.IGNORECASE)
_WAN21 = re.compile(r"wan[-_ .]?2[._]?1", re.IGNORECASE)
_UNDISTILLED = re.compile(r"(^|[-_ .])(de|un)[-_ .]?(distill|turbo)|openflux|[-_ .]raw([-_ .]|$)", re.IGNORECASE)
_DISTILLED = re.compile(
    r"turbo|lightning|schnell|lightx2v|hyper[-_ .]?(sd|flux)|(^|[-_ .])lcm|dmd2?([-_ .]|$)|distill|causvid|"
    r"(^|[-_ .])\d[-_ ]?steps?([-_ .]|$)",
    re.IGNORECASE,
)
_KLEIN_BASE = re.compile(r"base", re.IGNORECASE)

BASES = {
    "zimage": "Z-Image (base)",
    "flux": "Flux.1 [dev]",
    "kontext": "Flux.1 Kontext [dev]",
    "klein": "Flux.2 Klein Base",
    "sdxl": "SDXL base 1.0, or a checkpoint made from it that is no Turbo or Lightning",
    "sd15": "Stable Diffusion 1.5",
    "sd21": "Stable Diffusion 2.1",
    "sd3": "Stable Diffusion 3.5",
    "krea2": "Krea 2 Raw",
    "qwen_image": "Qwen-Image",
    "qwen_image_edit": "Qwen-Image-Edit",
}
"""What to train on in place of a distilled model; its LoRA then serves the distilled one too."""

BOUNDARIES = {"wan22": 0.875, "wan22_i2v": 0.9}
"""The noise level at which Wan 2.2 goes over from one expert to the other (the authors' `boundary` for t2v and i2v)."""


@dataclass(frozen=True)
class Expert:
    """One half of Wan 2.2: which noise levels are its own."""

    name: str
    sigma_min: float
    sigma_max: float


def family_of(model: Any, prediction: Prediction, file: str, edits: bool) -> str:
    """Row of `training.families`; "generic" for models without one.

    `file`: name of the model's file, "" where the loader did not say; `edits`: the data holds pictures to start from.
    """
    config = model.model_config
    if type(config) in _WAN:
        return _wan(model, file)
    family = next((name for kind, name in _FAMILIES if isinstance(config, kind)), "generic")
    if family == "flux2" and not config.unet_config.get("guidance_embed", False):
        family = "klein"
    if family == "sdxl" and prediction is Prediction.V:
        return "sdxl_v"
    return _EDITS.get(family, family) if edits else family


def _wan(model: Any, file: str) -> str:
    """Wan 2.1 and 2.2 have the same layers, but only 2.1's image model also reads CLIP's picture of the first frame."""
    shown = takes_start_frame(model)
    if shown and model.diffusion_model.img_emb is not None:
        return "wan21_i2v"
    if shown:
        return "wan22_i2v"
    return "wan22" if _WAN22.search(file) or _is_expert(file) else "wan21"


def _is_expert(file: str) -> bool:
    return bool(_HIGH.search(file)) != bool(_LOW.search(file))


def file_name(patcher: ModelPatcher) -> str:
    """Of the model's file, as the host's loaders leave it for a reload; "" where another loader did not."""
    made_by = patcher.cached_patcher_init
    if made_by is None or not made_by[1] or not isinstance(made_by[1][0], (str, Path)):
        return ""
    return Path(made_by[1][0]).name


def takes_start_frame(model: Any) -> bool:
    """Whether the network is shown the first frame of the clip that it is to make, beside the noisy one."""
    if isinstance(model, comfy.model_base.WAN21):
        return model.diffusion_model.patch_embedding.weight.shape[1] > model.latent_format.latent_channels
    return isinstance(model, (comfy.model_base.HunyuanVideoI2V, comfy.model_base.HunyuanVideoSkyreelsI2V))


def is_ambiguous(family: str, file: str, width: int) -> bool:
    """Whether a text-to-video Wan may be either 2.1 or an expert of 2.2, for all that is known: only the 14 billion
    parameters of width 5120 come as both."""
    return family == "wan21" and width == 5120 and not _WAN21.search(file)


def expert_of(choice: str, family: str, file: str) -> str | None:
    """Which one ("high" or "low"), from the input or the file's name; None when neither tells."""
    if choice != "auto":
        return choice
    if not _is_expert(file):
        return None
    return "high" if _HIGH.search(file) else "low"


def distilled_sign(model: Any, family: str, file: str) -> str | None:
    """What says that this base makes pictures in a few steps, which plain training undoes; None for all others."""
    stem = Path(file).stem
    if _UNDISTILLED.search(stem):
        return None
    if isinstance(model.model_config, _kinds.FluxSchnell) and type(model) is comfy.model_base.Flux:
        return "it has no guidance input, as Flux.1 [schnell]"
    if _DISTILLED.search(stem):
        return f"its file is called '{file}'"
    if family == "klein" and stem and not _KLEIN_BASE.search(stem):
        return f"Flux.2 Klein is distilled unless it is the Base, and its file is called '{file}'"
    return None
