"""Small models with random weights in the true key layout of real families, made on demand and cached.

The host reads sizes off the weights, so its ordinary loaders take them. Weights come from a seeded
`numpy.random.RandomState`, whose stream is frozen: the same files on every machine.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn


def flux_network(hidden_size: int = 256, depth: int = 1, depth_single_blocks: int = 2) -> nn.Module:
    """Flux layout, CLIP-L wide conditionings; `hidden_size` a multiple of 128."""
    import comfy.ops
    from comfy.ldm.flux.model import Flux

    return Flux(
        image_model="flux",
        in_channels=16,
        out_channels=16,
        patch_size=2,
        vec_in_dim=768,
        context_in_dim=768,
        hidden_size=hidden_size,
        mlp_ratio=4.0,
        num_heads=hidden_size // 128,
        depth=depth,
        depth_single_blocks=depth_single_blocks,
        axes_dim=[16, 56, 56],
        theta=10000,
        qkv_bias=True,
        guidance_embed=True,
        txt_ids_dims=[],
        dtype=torch.float32,
        device="cpu",
        operations=comfy.ops.manual_cast,
    )


def sd15_network(channel_mult: Sequence[int] = (1, 2)) -> nn.Module:
    """SD1.5 layout: 320 model channels, as detection asks, but two levels of one block."""
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    return UNetModel(
        image_size=32,
        in_channels=4,
        out_channels=4,
        model_channels=320,
        num_heads=8,
        use_spatial_transformer=True,
        context_dim=768,
        legacy=False,
        dtype=torch.float32,
        num_res_blocks=[1, 1],
        channel_mult=list(channel_mult),
        transformer_depth=[1, 1],
        transformer_depth_output=[1, 1, 1, 1],
        transformer_depth_middle=1,
        operations=comfy.ops.manual_cast,
    )


def vae_network(channels: int) -> nn.Module:
    """TAESD format."""
    from comfy.taesd.taesd import TAESD

    return TAESD(latent_channels=channels)


def wan_vae_network(dim: int = 8) -> nn.Module:
    """Wan 2.1's autoencoder, of videos; the host reads `dim` off its weights."""
    from comfy.ldm.wan.vae import WanVAE

    return WanVAE(dim=dim, z_dim=16, dim_mult=[1, 2, 4, 4], temperal_downsample=[False, True, True])


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "flux": flux_network,
    "sd15": sd15_network,
    "sd15-narrow": lambda: sd15_network(channel_mult=(1, 1)),
    "vae16": lambda: vae_network(16),
    "vae4": lambda: vae_network(4),
    "wan_vae": wan_vae_network,
}


def random_weights(network: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """Weights that let signals through: matrices by fan-in, norms near one, biases small but not zero."""
    state: dict[str, torch.Tensor] = {}
    for name, old in network.state_dict().items():
        stream = np.random.RandomState(seed ^ zlib.crc32(name.encode()))
        noise = torch.from_numpy(stream.standard_normal(tuple(old.shape))).float()
        if old.ndim > 1:
            state[name] = noise / np.sqrt(old[0].numel())
        elif name.endswith(("norm.weight", "scale")) or ("norm" in name and name.endswith("weight")):
            state[name] = 1.0 + 0.1 * noise
        else:
            state[name] = 0.02 * noise
    return state


def model_file(folder: Path, kind: str, seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """The safetensors file of `kind` (a key of NETWORKS) in `folder`, made when it is not there yet."""
    path = folder / f"{kind}-{seed}-{str(dtype).removeprefix('torch.')}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        weights = random_weights(NETWORKS[kind](), seed)
        temporary = path.with_suffix(".tmp")
        save_file({k: v.to(dtype).contiguous() for k, v in weights.items()}, temporary)
        temporary.replace(path)
    return path
