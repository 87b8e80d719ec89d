"""Workflows in API format for the server tests; `Server` adds the default of every input that they leave out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from danlu.demo.server import Message, node
from danlu.tests.server import Server

CHANNELS = {"flux": 16, "sd15": 4}


def told_step(message: Message) -> int:
    """The step that a line on a node is about; 0 for all other messages. Of fast steps only some are told."""
    found = re.match(r"step ([\d,]+) /", message.data["text"]) if message.type == "progress_text" else None
    return int(found[1].replace(",", "")) if found else 0


def loaders(layout: str) -> dict[str, Any]:
    return {
        "unet": node("UNETLoader", unet_name=f"tiny/{layout}.safetensors", weight_dtype="default"),
        "clip": node("CLIPLoader", clip_name="tiny/clip.safetensors", type="stable_diffusion"),
        "vae": node("VAELoader", vae_name=f"tiny/{CHANNELS[layout]}.safetensors"),
    }


def training(layout: str, folder: str = "pics", rank: int = 4, **train: Any) -> dict[str, Any]:
    """The five-node graph with a small rank; `train` are inputs of the train node."""
    settings = {"steps": 3, "save_every": 1, "keep_last": -1, "seed": 0, "name": f"tiny_{layout}", **train}
    return {
        **loaders(layout),
        "load": node("DanluLoadDataset", folder=folder, trigger="zorp"),
        "encode": node("DanluEncodeDataset", dataset=["load", 0], vae=["vae", 0], clip=["clip", 0]),
        "config": node("DanluLoRAConfig", rank=rank),
        "train": node(
            "DanluTrainLoRA", model=["unet", 0], training_data=["encode", 0], lora_config=["config", 0], **settings
        ),
    }


def saving(**inputs: Any) -> dict[str, Any]:
    settings = {"name": "", "subfolder": "danlu", "which": "final", "format": "auto", "dtype": "fp32", **inputs}
    return {"save": node("DanluSaveLoRA", lora=["train", 0], **settings)}


def sampling(layout: str, model: list[Any], seed: int = 1, prefix: str = "picture") -> dict[str, Any]:
    """A picture and its latent, saved as `prefix`."""
    latent = "EmptySD3LatentImage" if layout == "flux" else "EmptyLatentImage"
    return {
        f"{prefix} empty": node(latent, width=64, height=64, batch_size=1),
        f"{prefix} text": node("CLIPTextEncode", clip=["clip", 0], text="zorp, a thing"),
        f"{prefix} sample": node(
            "KSampler",
            model=model,
            positive=[f"{prefix} text", 0],
            negative=[f"{prefix} text", 0],
            latent_image=[f"{prefix} empty", 0],
            seed=seed,
            steps=3,
            cfg=1.0,
            sampler_name="euler",
            scheduler="simple",
            denoise=1.0,
        ),
        f"{prefix} latent": node("SaveLatent", samples=[f"{prefix} sample", 0], filename_prefix=prefix),
    }


def run_folder(studio: Server, name: str) -> Path:
    """Of the only run of that name."""
    names = (studio.base / "user" / "__danlu" / "runs").glob("*/name.json")
    (found,) = (file for file in names if json.loads(file.read_text(encoding="utf-8"))["name"] == name)
    return found.parent
