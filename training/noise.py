"""The noise that is added to latents, where it is not plain: both are part of the target too."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from .config import TrainingConfig

LEVELS = 10


def draw_noise(shape: Sequence[int], config: TrainingConfig, rng: torch.Generator) -> Tensor:
    """Noise for one latent (1, channels, ..., height, width)."""
    noise = torch.randn(tuple(shape), generator=rng)
    if config.multires_noise:
        noise = _multires(noise, config.multires_noise, rng)
    if config.noise_offset:
        # One number a channel, so that whole pictures get lighter and darker (Guttenberg, crosslabs.org, 2023).
        noise = noise + config.noise_offset * torch.randn(_channels(noise), generator=rng)
    return noise


def _channels(like: Tensor) -> tuple[int, ...]:
    return (*like.shape[:2], *([1] * (like.ndim - 2)))


def _multires(noise: Tensor, discount: float, rng: torch.Generator) -> Tensor:
    """Multi-resolution noise (Whitaker, wandb.ai/johnowhitaker, 2023): coarser and coarser noise on top, each half the
    size of the one before and `discount` times as strong; scaled back to a standard deviation of 1."""
    height, width = noise.shape[-2:]
    planes = noise.flatten(0, -3)[None].clone()
    for level in range(1, LEVELS + 1):
        size = (max(1, height >> level), max(1, width >> level))
        coarse = torch.randn((*planes.shape[:2], *size), generator=rng)
        planes += functional.interpolate(coarse, (height, width), mode="bilinear") * discount**level
        if 1 in size:
            break
    return (planes / planes.std()).view_as(noise)
