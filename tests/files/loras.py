"""Small LoRAs of every algorithm, named as checkpoints name them, and runs on disk that hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from danlu.training.config import LoRAConfig, TrainingConfig, as_dict
from danlu.training.families import resolve
from danlu.training.formats import FileNames, Part
from danlu.training.runs.store import RunHandle, RunStore

STEM = "diffusion_model.block.linear"
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "lora": {"lora_up.weight": (12, 4), "lora_down.weight": (4, 6), "alpha": ()},
    "dora": {"lora_up.weight": (12, 4), "lora_down.weight": (4, 6), "alpha": (), "dora_scale": (12, 1)},
    "loha": {"hada_w1_a": (12, 4), "hada_w1_b": (4, 6), "hada_w2_a": (12, 4), "hada_w2_b": (4, 6), "alpha": ()},
    "lokr": {"lokr_w1": (3, 2), "lokr_w2_a": (4, 2), "lokr_w2_b": (2, 3), "alpha": ()},
    "oft": {"oft_blocks": (3, 4, 4), "alpha": ()},
}


def lora(algorithm: str = "lora", stem: str = STEM, seed: int = 0) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    tensors = {f"{stem}.{suffix}": torch.randn(shape, generator=rng) for suffix, shape in SHAPES[algorithm].items()}
    tensors[f"{stem}.alpha"] = torch.tensor(3.0)
    return tensors


def facts(family: str = "flux", step: int = 2, **training: object) -> dict[str, str]:
    """As `training.facts` writes them."""
    settings = resolve(family, True, LoRAConfig(rank=4, alpha=3.0), TrainingConfig(**training), steps=3)  # type: ignore[arg-type]
    config = {"lora": as_dict(settings.lora), "training": as_dict(settings.training)}
    return {
        "family": family,
        "prediction": "flow",
        "trigger": "zorp",
        "step": str(step),
        "epoch": "1",
        "seed": "7",
        "images": "3",
        "regularisation_images": "0",
        "resolution": "64x32",
        "buckets": "{}",
        "tags": json.dumps({"zorp": {"zorp": 3, "a cat": 2}}),
        "config": json.dumps(config),
    }


NAMES = FileNames(
    kohya={STEM: (Part("lora_unet_block_linear"),)},
    diffusers={STEM: tuple(Part(f"transformer.to_{name}", 4 * i, 4) for i, name in enumerate("qkv"))},
)


def run(
    folder: Path, tensors: Mapping[str, Tensor], family: str = "flux", steps: tuple[int, ...] = (1, 2)
) -> RunHandle:
    store = RunStore(folder)
    store.create({"format": 2}, {}, NAMES)
    for step in steps:
        store.save_checkpoint(step, tensors, facts(family, step))
    return RunHandle(folder, steps[-1], "thing")
