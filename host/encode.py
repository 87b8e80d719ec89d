"""The host's VAE and CLIP as `training.encode.Encoder`."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

import comfy.sd1_clip
import comfy.text_encoders.qwen_image
import comfy.text_encoders.sd2_clip
import torch
from torch import Tensor

from ..errors import DanluError
from ..training.data import Conditioning
from ..training.seen import PLUS
from .identity import patcher_identity

log = logging.getLogger(__name__)

NATIVE_RESOLUTIONS: tuple[tuple[type, int], ...] = (
    (comfy.sd1_clip.SD1ClipModel, 512),
    (comfy.text_encoders.sd2_clip.SD2ClipModel, 768),
)
"""Model families that a text encoder of exactly this type gives away; all later ones were made for 1024."""


class HostEncoder:
    def __init__(self, vae: Any, clip: Any):
        _check(vae, clip)
        self._vae = vae
        self._clip = clip
        self.factor = int(vae.spacial_compression_encode())
        self.native_resolution = _native_resolution(clip)
        self.frame_step = _frame_step(vae)
        # Others may see pictures too, each through a node of its own.
        self.sees_pictures = type(getattr(clip, "tokenizer", None)) is comfy.text_encoders.qwen_image.QwenImageTokenizer
        self.vae_identity = patcher_identity(vae.patcher)
        self.text_identity = text_identity(clip)

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """One picture or one clip: a VAE for videos takes several for frames of one."""
        return self._vae.encode(pixels)

    def encode_caption(self, caption: str) -> Conditioning:
        return _conditioning(self._clip.encode_from_tokens_scheduled(self._clip.tokenize(caption), show_pbar=False))

    def encode_seen(self, caption: str, pictures: Sequence[Tensor], kind: str) -> Conditioning:
        """By the host's own nodes, without a VAE: the latents of the pictures are kept apart."""
        from comfy_extras.nodes_qwen import TextEncodeQwenImageEdit, TextEncodeQwenImageEditPlus

        if kind == PLUS:
            images = {f"image{number}": picture for number, picture in enumerate(pictures, 1)}
            return _conditioning(TextEncodeQwenImageEditPlus.execute(self._clip, caption, **images).args[0])
        return _conditioning(TextEncodeQwenImageEdit.execute(self._clip, caption, image=pictures[0]).args[0])


def _conditioning(encoded: Any) -> Conditioning:
    """Of one text, from the host's CONDITIONING."""
    if len(encoded) != 1:
        raise DanluError(
            "The input 'clip' changes during sampling (a scheduled LoRA hook). Training needs one fixed text "
            "encoder: wire the one without the hook."
        )
    cross_attn, others = encoded[0]
    extras = {name: _kept(value) for name, value in others.items() if isinstance(value, Tensor)}
    left_out = sorted(k for k, v in others.items() if v is not None and not isinstance(v, Tensor))
    if left_out:
        log.warning("Danlu: the text encoder also gave %s, which is not kept", ", ".join(left_out))
    return Conditioning(_kept(cross_attn), extras)


def _check(vae: Any, clip: Any) -> None:
    if clip is None:
        raise DanluError(
            "The input 'clip' is empty: the model file holds no text encoder. "
            "Load one with CLIPLoader, or use another model file."
        )
    if getattr(vae, "first_stage_model", None) is None:
        raise DanluError(
            "The input 'vae' is empty: the model file holds no VAE. Load one with VAELoader, or use another model file."
        )
    if vae.latent_dim not in (2, 3) or vae.output_channels < 3:
        raise DanluError("The input 'vae' is not one for pictures. Wire the VAE that belongs to the model you train.")


def _frame_step(vae: Any) -> int:
    """Frames that share one of the latent: 4 of Wan's and HunyuanVideo's, 8 of LTX-Video's; 0 for pictures."""
    video = vae.latent_dim == 3 and not getattr(vae, "not_video", False)
    return int(vae.temporal_compression_decode() or 0) if video else 0


def _native_resolution(clip: Any) -> int:
    kind = type(clip.cond_stage_model)
    return next((resolution for known, resolution in NATIVE_RESOLUTIONS if kind is known), 1024)


def text_identity(clip: Any) -> str:
    """Weights and LoRAs of the text encoder, and the settings that change what it gives (CLIP skip)."""
    settings = (type(clip.cond_stage_model).__name__, clip.layer_idx, sorted(clip.tokenizer_options.items()))
    return hashlib.sha256(f"{patcher_identity(clip.patcher)}|{settings}".encode()).hexdigest()


def _kept(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().to("cpu")
    return (tensor.to(torch.float32) if tensor.is_floating_point() else tensor).clone()
