"""Pictures from the bundled base through the host's own loaders, sampler and decoder, in this process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .seeded_clip import write_clip

MODELS = Path(__file__).parent / "models"
FLUX_FILE, VAE_FILE = "danlu-demo-flux.safetensors", "danlu-demo-vae.safetensors"


@dataclass(frozen=True)
class Sampling:
    """The demo's sampler settings: what KSampler is given."""

    steps: int = 20
    cfg: float = 4.0
    sampler: str = "euler"
    scheduler: str = "simple"
    side: int = 128


@dataclass
class Base:
    model: Any
    vae: Any
    clip: Any


def load_base(clip_file: Path, models: Path = MODELS) -> Base:
    """What UNETLoader, VAELoader and CLIPLoader (type stable_diffusion) do; call after `add_host`."""
    import comfy.sd
    import comfy.utils
    import torch

    with torch.inference_mode():
        model = comfy.sd.load_diffusion_model(str(models / FLUX_FILE))
        vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(models / VAE_FILE)))
        kind = comfy.sd.CLIPType.STABLE_DIFFUSION
        clip = comfy.sd.load_clip([str(write_clip(clip_file))], clip_type=kind)
    return Base(model, vae, clip)


def conditioning(base: Base, prompts: list[str]) -> list:
    """One conditioning whose rows are the prompts: the host passes row i to row i of the batch."""
    import torch

    # Each text once: the negative ones are all the same.
    texts = {text: base.clip.encode_from_tokens_scheduled(base.clip.tokenize(text))[0] for text in set(prompts)}
    found = [texts[text] for text in prompts]
    pooled = torch.cat([extra["pooled_output"] for _, extra in found])
    return [[torch.cat([tokens for tokens, _ in found]), {"pooled_output": pooled}]]


def to_images(decoded) -> list[Image.Image]:
    return [Image.fromarray(row) for row in (decoded.cpu().numpy() * 255).round().clip(0, 255).astype(np.uint8)]


def generate(
    base: Base, prompts: Iterable[str], seed: int, sampling: Sampling = Sampling(), batch: int = 16, model=None
) -> list[Image.Image]:
    import comfy.sample
    import torch

    images, prompts = [], list(prompts)
    with torch.inference_mode():
        for first in range(0, len(prompts), batch):
            part = prompts[first : first + batch]
            positive, negative = conditioning(base, part), conditioning(base, [""] * len(part))
            empty = torch.zeros(len(part), 16, sampling.side // 8, sampling.side // 8)
            latents = comfy.sample.sample(
                model or base.model, comfy.sample.prepare_noise(empty, seed + first), sampling.steps, sampling.cfg,
                sampling.sampler, sampling.scheduler, positive, negative, empty, seed=seed + first, disable_pbar=True,
            )  # fmt: skip
            images += to_images(base.vae.decode(latents))
    return images


def through_vae(base: Base, images: list[Image.Image]) -> list[Image.Image]:
    """What VAEEncode and VAEDecode leave of pictures."""
    import torch

    if not images:
        return []
    with torch.inference_mode():
        pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).float() / 255
        return to_images(base.vae.decode(base.vae.encode(pixels)))


def contact_sheet(images: list[Image.Image], columns: int = 10) -> Image.Image:
    side = images[0].width
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * side, rows * side))
    for i, image in enumerate(images):
        sheet.paste(image, (i % columns * side, i // columns * side))
    return sheet
