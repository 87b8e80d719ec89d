"""What steers one row, through the model's own `extra_conds`: the same call that the host's sampler makes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import comfy.model_base
import torch
from torch import Tensor

from ..training.model import RowCondition
from .families import takes_start_frame

GUIDANCE = 1.0
"""Guidance-distilled models are trained at 1.0 by every trainer; the host fills in 3.5 (Flux) or 6.0 (HunyuanVideo)
when nothing is said."""
CHROMA_GUIDANCE = 0.0
"""Chroma has no guidance to embed: its modulation network was distilled at zero, which is what the host gives it."""


def row_conditions(model: Any, noise: Tensor, row: RowCondition, device: torch.device) -> dict[str, Any]:
    """One row's conditioning, as `comfy.samplers.encode_model_conds` makes it; `noise` (1, channels, ...)."""
    height, width = row.target_size
    # A text encoder may give no pooled text, which the host passes on as None.
    texts = {"pooled_output": None, **{name: value.to(device) for name, value in row.text.extras.items()}}
    conds = model.extra_conds(
        **texts,
        **_pictures(model, noise, row, device),
        cross_attn=row.text.cross_attn.to(device),
        noise=noise,
        device=device,
        width=row.original_size[1],
        height=row.original_size[0],
        crop_w=row.crop[1],
        crop_h=row.crop[0],
        target_width=width,
        target_height=height,
        guidance=CHROMA_GUIDANCE if isinstance(model, comfy.model_base.Chroma) else GUIDANCE,
        prompt_type="positive",
    )
    return {key: cond.process_cond(batch_size=1, device=device, area=None) for key, cond in conds.items()}


def _pictures(model: Any, noise: Tensor, row: RowCondition, device: torch.device) -> dict[str, Any]:
    """As the host's nodes put pictures into a conditioning: ReferenceLatent, WanImageToVideo, HunyuanImageToVideo."""
    given: dict[str, Any] = {}
    if row.references:
        given["reference_latents"] = [latent.to(device) for latent in row.references]
    if row.start is not None and takes_start_frame(model):
        # The host scales it in place.
        start = row.start.to(device, copy=True)
        mask = torch.ones((1, 1, *noise.shape[2:]), device=device)
        mask[:, :, :1] = 0.0
        given |= {"concat_latent_image": start if pads_with_grey(model) else start[:, :, :1], "concat_mask": mask}
    return given


def pads_with_grey(model: Any) -> bool:
    """Whether the first frame is shown as a whole clip, grey after it. HunyuanVideo is shown the frame by itself."""
    return isinstance(model, comfy.model_base.WAN21)


_MASKED_TOGETHER = (comfy.model_base.LTXV, comfy.model_base.Lumina2, comfy.model_base.QwenImage)
"""Models that take a mask for each row of a batch, as the contract test shows; HunyuanVideo has one for all rows."""


def can_concat(model: Any, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two rows can share a forward pass."""
    if "attention_mask" in a and not isinstance(model, _MASKED_TOGETHER):
        return False
    return a.keys() == b.keys() and all(a[key].can_concat(b[key]) for key in a)


def takes_references(model: Any) -> bool:
    """Whether the network reads pictures that an edit starts from."""
    network = model.diffusion_model
    reads = "ref_latents" in inspect.signature(type(network).forward).parameters
    # Krea 2 has the input, and does nothing with it unless its text encoder says how.
    return reads and getattr(network, "default_ref_method", "") is not None


def text_width(model: Any) -> int | None:
    """Width of the text embeddings that the network reads; None where its configuration does not say."""
    config: Mapping[str, Any] = model.model_config.unet_config
    if "txtlayers" in config:
        return int(config["txtlayers"] * config["txtdim"])
    if "context_embedder_config" in config:
        return int(config["context_embedder_config"]["params"]["in_features"])
    network = model.diffusion_model
    if isinstance(model, comfy.model_base.WAN21):
        return int(network.text_dim)
    if isinstance(model, comfy.model_base.QwenImage):
        return int(network.txt_in.in_features)
    if isinstance(model, comfy.model_base.Lumina2):
        return int(config["cap_feat_dim"])
    return config.get("context_in_dim", config.get("context_dim"))
