"""Graphs with a loop in them, and what a server says of the order in which they ran."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from danlu.demo.server import Message, Run, node
from danlu.tests.http.graphs import loaders, training
from danlu.tests.server import REPOSITORY, Server

DECODER = "tiny/demo.safetensors"
"""The demo's: pictures of the small random ones are black."""
LAYER = "diffusion_model.double_blocks.0.img_attn.qkv"


def add_decoder(server: Server) -> None:
    if not (server.base / "models" / "vae" / DECODER).exists():
        server.put(REPOSITORY / "demo" / "models" / "danlu-demo-vae.safetensors", f"models/vae/{DECODER}")


def add_loras(server: Server, folder: str, count: int, rank: int = 4) -> list[str]:
    """LoRA files of the small Flux that change its pictures, of 4 kB a rank; their names as the host's loaders list
    them."""
    place = server.base / "models" / "loras" / folder
    place.mkdir(parents=True, exist_ok=True)
    names = [f"other-{number:06}.safetensors" for number in range(1, count + 1)]
    for number, name in enumerate(names):
        random = np.random.RandomState(number)
        up, down = (random.randn(*shape).astype(np.float32) for shape in ((768, rank), (rank, 256)))
        scale = 0.09 * 4**0.5 / rank**0.5
        tensors = {f"{LAYER}.lora_up.weight": up * np.float32(scale), f"{LAYER}.lora_down.weight": down}
        save_file({key: torch.from_numpy(tensor) for key, tensor in tensors.items()}, place / name)
    return [f"{folder}/{name}" for name in names]


def body(
    lora: list[Any], strength: Any = 1.0, prompt: Any = "a thing", seed: Any = 1, **sampler: Any
) -> dict[str, Any]:
    """LoRA -> sampler -> decoder, to a picture at ["decode", 0]."""
    settings = {"steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0, **sampler}
    return {
        "decoder": node("VAELoader", vae_name=DECODER),
        "apply": node("LoraModelLoader", model=["unet", 0], lora=lora, strength_model=strength, bypass=False),
        **testing("", ["apply", 0], prompt, seed, **settings),
    }


def testing(name: str, model: list[Any], prompt: Any, seed: Any, **settings: Any) -> dict[str, Any]:
    text, latent = [f"{name}text", 0], [f"{name}empty", 0]
    inputs = {"model": model, "positive": text, "negative": text, "latent_image": latent, "seed": seed, **settings}
    return {
        f"{name}empty": node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
        f"{name}text": node("CLIPTextEncode", clip=["clip", 0], text=prompt),
        f"{name}sample": node("KSampler", **inputs),
        f"{name}decode": node("VAEDecode", samples=[f"{name}sample", 0], vae=["decoder", 0]),
    }


def train_loop(prompt: str = "a thing", with_base: bool = False, **train: Any) -> dict[str, Any]:
    """Train Loop -> test -> Grid; `train` are inputs of the loop node."""
    graph = training("flux", **train)
    inputs = graph.pop("train")["inputs"]
    return {
        **graph,
        "loop": node("DanluTrainLoop", with_base=with_base, **inputs),
        **body(["loop", 0], prompt=prompt),
        "grid": node("DanluGrid", image=["decode", 0], loop=["loop", 3]),
    }


def chain(ends: Sequence[int], **train: Any) -> dict[str, Any]:
    """Train nodes wired by `run`, each with a test of its own behind it."""
    graph = training("flux", **train)
    inputs = graph.pop("train")["inputs"]
    graph["decoder"] = node("VAELoader", vae_name=DECODER)
    settings = {"steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    for number, until in enumerate(ends):
        before = {"run": [f"train{number - 1}", 1]} if number else {}
        graph[f"train{number}"] = node("DanluTrainLoRA", **{**inputs, "steps": until}, **before)
        lora = [f"train{number}", 0]
        graph[f"{number} apply"] = node("DanluApplyLoRA", model=["unet", 0], clip=["clip", 0], lora=lora, strength=1.0)
        graph |= testing(f"{number} ", [f"{number} apply", 0], "a thing", 1, **settings)
        graph[f"save{number}"] = node("SaveImage", images=[f"{number} decode", 0], filename_prefix=f"chain{number}")
    return graph


def sweep(checkpoints: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    """Checkpoints -> Sweep -> test -> Grid; `checkpoints`: the node that gives them."""
    sampler = inputs.pop("sampler", {})
    return {
        **loaders("flux"),
        "checkpoints": checkpoints,
        "sweep": node("DanluSweep", checkpoints=["checkpoints", 0], **inputs),
        **body(["sweep", 1], ["sweep", 2], ["sweep", 3], ["sweep", 4], **sampler),
        "grid": node("DanluGrid", image=["decode", 0], loop=["sweep", 0]),
    }


def from_folder(folder: str, pattern: str = "*") -> dict[str, Any]:
    return node("DanluCheckpointsFromFolder", folder=folder, pattern=pattern)


def plain(lora: str, strength: float, prompt: str, seed: int, **sampler: Any) -> dict[str, Any]:
    """One cell by the host's own loader."""
    graph = {**loaders("flux"), **body(["", 0], strength, prompt, seed, **sampler)}
    graph["apply"] = node(
        "LoraLoader",
        model=["unet", 0],
        clip=["clip", 0],
        lora_name=lora,
        strength_model=strength,
        strength_clip=strength,
    )
    return {**graph, "save": node("SaveImage", images=["decode", 0], filename_prefix="plain")}


def shown(run: Run, grid: str = "grid") -> list[Message]:
    """The pictures that a grid showed, in order: one message a cell, then one of all pages."""
    return [m for m in run.messages if m.type == "executed" and m.data["display_node"] == grid and images(m)]


def images(message: Message) -> list[dict[str, str]]:
    return (message.data.get("output") or {}).get("images") or []


def pixels(server: Server, message: Message) -> np.ndarray:
    """(height, width, 3) of the first picture of a message."""
    return opened(server, images(message)[0])


def opened(server: Server, entry: dict[str, str]) -> np.ndarray:
    folder = server.base / entry["type"] / entry["subfolder"]
    return np.asarray(Image.open(folder / entry["filename"]).convert("RGB"))


def story(run: Run) -> list[str]:
    """What ran of a loop, by the user's own nodes: "train" is a segment, "show" a picture on the grid."""
    names = {"loop": "train", "sample": "test"}
    found = []
    for message in run.messages:
        data = message.data
        if message.type == "executing" and data.get("display_node") in names and data["node"] != data["display_node"]:
            found.append(names[data["display_node"]])
        elif message.type == "executed" and data["display_node"] == "grid" and images(message):
            found.append("show")
    return found


def trained_steps(run: Run, node_id: str | None = None) -> int:
    """Training steps that were reported."""
    return sum(text.startswith("step ") for text in run.texts(node_id))


def cells(server: Server) -> list[Path]:
    return sorted((server.base / "user" / "__danlu" / "cells").rglob("*.json"))
