"""Pictures by the host's own nodes: loaders, LoRA loader, sampler, decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from .generate import Sampling
from .install import CLIP, FLUX, PREFIX, VAE
from .server import Client, ServerError, node

SAMPLING = Sampling()
KSAMPLER: dict[str, Any] = {
    "sampler_name": SAMPLING.sampler,
    "scheduler": SAMPLING.scheduler,
    "steps": SAMPLING.steps,
    "cfg": SAMPLING.cfg,
    "denoise": 1.0,
}


@dataclass(frozen=True)
class Shot:
    """One picture to render; `strength` 0 is the base model."""

    prompt: str
    seed: int
    strength: float = 0.0


def graph(shots: Sequence[Shot], lora: str | None, prefix: str) -> dict[str, Any]:
    """One workflow for all `shots`; picture i is saved as `<prefix>/<i>`. `lora`: its name in the host's list."""
    nodes = {
        "unet": node("UNETLoader", unet_name=f"{PREFIX}/{FLUX}", weight_dtype="default"),
        "clip": node("CLIPLoader", clip_name=f"{PREFIX}/{CLIP}", type="stable_diffusion", device="default"),
        "vae": node("VAELoader", vae_name=f"{PREFIX}/{VAE}"),
        "latent": node("EmptySD3LatentImage", width=SAMPLING.side, height=SAMPLING.side, batch_size=1),
        "negative": node("CLIPTextEncode", clip=["clip", 0], text=""),
    }
    for prompt in {shot.prompt for shot in shots}:
        nodes[f"text {prompt}"] = node("CLIPTextEncode", clip=["clip", 0], text=prompt)
    for strength in {shot.strength for shot in shots if shot.strength}:
        nodes[f"lora {strength}"] = node(
            "LoraLoader",
            model=["unet", 0],
            clip=["clip", 0],
            lora_name=lora,
            strength_model=strength,
            strength_clip=0.0,
        )
    for i, shot in enumerate(shots):
        nodes.update(_shot_nodes(i, shot, prefix))
    return nodes


def _shot_nodes(index: int, shot: Shot, prefix: str) -> dict[str, Any]:
    model = [f"lora {shot.strength}", 0] if shot.strength else ["unet", 0]
    return {
        f"sample {index}": node(
            "KSampler",
            model=model,
            positive=[f"text {shot.prompt}", 0],
            negative=["negative", 0],
            latent_image=["latent", 0],
            seed=shot.seed,
            **KSAMPLER,
        ),
        f"decode {index}": node("VAEDecode", samples=[f"sample {index}", 0], vae=["vae", 0]),
        f"save {index}": node("SaveImage", images=[f"decode {index}", 0], filename_prefix=f"{prefix}/{index:03}"),
    }


def render(client: Client, output: Path, shots: Sequence[Shot], lora: str | None, prefix: str) -> list[Image.Image]:
    """The pictures of `shots`, in order. `output`: the host's output folder."""
    run = client.run(graph(shots, lora, prefix), timeout=900)
    if not run.ok:
        raise ServerError(f"rendering {prefix} failed: {run.explain()}")
    pictures = []
    for i in range(len(shots)):
        saved = run.outputs[f"save {i}"]["images"][0]
        with Image.open(output / saved["subfolder"] / saved["filename"]) as picture:
            pictures.append(picture.convert("RGB"))
    return pictures
