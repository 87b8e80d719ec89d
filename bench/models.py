"""The models that are measured: random weights in the layout of real families, loaded by the host's own loader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..tests.factory import flux_network, random_weights, sd15_network

TOKENS = 77
TEXT_WIDTH = 768


@dataclass(frozen=True)
class Layout:
    """How a model is made and what it takes."""

    network: Callable[[], nn.Module]
    channels: int
    diffusers_blocks: tuple[int, ...] = ()
    """Widths of the equal `UNet2DConditionModel`, where there is one."""


def _wide_flux() -> nn.Module:
    return flux_network(hidden_size=1024, depth=2, depth_single_blocks=4)


LAYOUTS = {
    "sd15": Layout(sd15_network, 4, (320, 640)),
    "flux": Layout(_wide_flux, 16),
    "tiny-sd15": Layout(lambda: sd15_network(channel_mult=(1, 1)), 4, (320, 320)),
    "tiny-flux": Layout(flux_network, 16),
}


def model_file(folder: Path, name: str) -> Path:
    """The fp32 file of one of LAYOUTS in `folder`, made when it is missing."""
    path = folder / f"{name}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        save_file(random_weights(LAYOUTS[name].network(), seed=0), temporary)
        temporary.replace(path)
    return path


def load_model(path: Path) -> Any:
    """A MODEL as a loader node gives it and a sampler has used it: loaded, in inference mode, every page in memory."""
    import comfy.model_management
    import comfy.sd

    with torch.inference_mode():
        patcher = comfy.sd.load_diffusion_model(str(path), model_options={"dtype": torch.float32})
        comfy.model_management.load_models_gpu([patcher])
        for parameter in patcher.model.diffusion_model.parameters():
            parameter.sum()
    return patcher


@dataclass(frozen=True)
class Samples:
    """What everybody trains on: `latents` (N, channels, side, side), `texts` N x (1, tokens, width)."""

    latents: Tensor
    texts: list[Tensor]
    pooled: list[Tensor]


def samples(layout: Layout, side: int, count: int) -> Samples:
    rng = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng)

    return Samples(
        normal(count, layout.channels, side, side),
        [normal(1, TOKENS, TEXT_WIDTH) for _ in range(count)],
        [normal(1, TEXT_WIDTH) for _ in range(count)],
    )


def diffusers_unet(path: Path, layout: Layout, side: int) -> nn.Module:
    """The same weights as diffusers' own class; names through the host's map."""
    from comfy.model_detection import model_config_from_unet
    from comfy.utils import unet_to_diffusers
    from diffusers import UNet2DConditionModel
    from safetensors.torch import load_file

    weights = load_file(path)
    config = model_config_from_unet(weights, "").unet_config
    levels = len(layout.diffusers_blocks)
    unet = UNet2DConditionModel(
        sample_size=side,
        in_channels=layout.channels,
        out_channels=layout.channels,
        layers_per_block=1,
        block_out_channels=layout.diffusers_blocks,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,
    )
    names = {theirs: ours for theirs, ours in unet_to_diffusers(config).items() if ours in weights}
    unet.load_state_dict({theirs: weights[ours] for theirs, ours in names.items()})
    return unet
