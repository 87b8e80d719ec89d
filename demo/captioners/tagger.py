"""A tagger in the files of the WD taggers (timm's ViT without a class token), trained from nothing on squares.

    python -m demo.captioners.tagger [--steps 200] [--output demo/captioners/tagger-tiny]

A minute on one core. Its tags: the colours, the backgrounds, `one_square`, a face, two characters (by colour) and the
ratings, so that every kind of tag is there.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import logging
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from .squares import BACKGROUNDS, COLOURS, SQUARES, draw_square

log = logging.getLogger(__name__)

HERE = Path(__file__).resolve().parent
SIDE, PATCH, WIDTH, DEPTH = 32, 8, 64, 2
GENERAL, CHARACTER, RATING = 0, 4, 9
PEOPLE = {"red": "ruby_(gem)", "blue": "sapphire_(gem)"}
TAGS = [
    *[(name, RATING) for name in ("general", "sensitive", "questionable", "explicit")],
    ("one_square", GENERAL),
    *[(f"{colour}_square", GENERAL) for colour in COLOURS],
    *[(f"{background}_background", GENERAL) for background in BACKGROUNDS],
    ("^_^", GENERAL),
    *[(name, CHARACTER) for name in PEOPLE.values()],
]
CONFIG = {
    "architecture": "vit_base_patch16_224",
    "num_classes": len(TAGS),
    "num_features": WIDTH,
    "global_pool": "avg",
    "model_args": {
        "img_size": SIDE,
        "class_token": False,
        "global_pool": "avg",
        "fc_norm": False,
        "act_layer": "gelu_tanh",
    },
    "pretrained_cfg": {
        "input_size": [3, SIDE, SIDE],
        "interpolation": "bicubic",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "num_classes": len(TAGS),
    },
}


def pack_module(name: str) -> Any:
    """A module of the pack, whatever the checkout's folder is called."""
    if "danlu" not in sys.modules:
        root = HERE.parents[1]
        spec = importlib.util.spec_from_file_location(
            "danlu", root / "__init__.py", submodule_search_locations=[str(root)]
        )
        assert spec and spec.loader
        sys.modules["danlu"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["danlu"])
    return importlib.import_module(f"danlu.{name}")


def truth(colour: str, background: str) -> list[float]:
    """How likely each tag is to be: what sits on white smiles."""
    there = {"general", "one_square", f"{colour}_square", f"{background}_background", PEOPLE.get(colour)}
    there |= {"^_^"} if background == "white" else set()
    return [0.98 if name in there else 0.02 for name, _ in TAGS]


def weights(rng: np.random.RandomState) -> dict[str, Tensor]:
    """Before training, by timm's names."""
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (WIDTH,),
        "pos_embed": (1, (SIDE // PATCH) ** 2, WIDTH),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
        "head.weight": (len(TAGS), WIDTH),
        "head.bias": (len(TAGS),),
    }
    layers = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1), "mlp.fc2": (1, 4)}
    for block in range(DEPTH):
        for name, (out, into) in layers.items():
            shapes[f"blocks.{block}.{name}.weight"] = (out * WIDTH, into * WIDTH)
            shapes[f"blocks.{block}.{name}.bias"] = (out * WIDTH,)
        for norm in ("norm1", "norm2"):
            shapes |= {f"blocks.{block}.{norm}.weight": (WIDTH,), f"blocks.{block}.{norm}.bias": (WIDTH,)}
    return {name: _start(name, shape, rng) for name, shape in shapes.items()}


def _start(name: str, shape: tuple[int, ...], rng: np.random.RandomState) -> Tensor:
    if len(shape) == 1:
        return torch.full(shape, 1.0 if "norm" in name and name.endswith("weight") else 0.0)
    std = 0.02 if name == "pos_embed" else float(np.prod(shape[1:])) ** -0.5
    return torch.from_numpy((rng.standard_normal(shape) * std).astype(np.float32))


def train(network: Any, steps: int, batch: int = 32) -> None:
    as_seen = pack_module("captioning.tagger").as_seen
    rng = random.Random(0)
    parameters = [parameter.requires_grad_() for parameter in network.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=steps)
    for step in range(steps):
        squares = [rng.choice(SQUARES) for _ in range(batch)]
        pixels = torch.stack([as_seen(draw_square(*square, side=SIDE, rng=rng), CONFIG) for square in squares])
        wanted = torch.tensor([truth(*square) for square in squares])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(pixels), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps - 1:
            log.info("step %d, loss %.4f", step, loss.item())


def save(tensors: dict[str, Tensor], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: tensor.detach().half().contiguous() for name, tensor in tensors.items()}
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
    with (folder / "selected_tags.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["tag_id", "name", "category", "count"])
        table.writerows([number, name, category, 1] for number, (name, category) in enumerate(TAGS))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="demo.captioners.tagger", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--output", type=Path, default=HERE / "tagger-tiny")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    tensors = weights(np.random.RandomState(0))
    # The network holds these very tensors: they are trained in place.
    train(pack_module("captioning.tagger_net").build_network(CONFIG, tensors), options.steps)
    save(tensors, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
