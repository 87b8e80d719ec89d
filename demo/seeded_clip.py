"""A CLIP-L text encoder from a seed: written on demand, never shipped (246 MB in fp16).

Weights are random, but laid out so that the embeddings say something. The embedding has three parts: 64
dimensions of position, one flag for the start and end tokens, the rest a random vector per token. The first
layer's heads look at all words so far, at the previous word, and at the two before that, by position alone; they
write random projections of what they see. The other layers are small random perturbations. The final norm drops
position and flag. So every token's output tells which word it is and after which ones; the end token, and with it
the pooled output, holds the bag of words; and all padding tokens but the first three are nearly equal.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.random import RandomState

SEED = 20
WIDTH, HIDDEN, LAYERS, HEADS, VOCABULARY, POSITIONS = 768, 3072, 12, 12, 49408, 77
HEAD = WIDTH // HEADS
ANGLES = 32
FLAG = 2 * ANGLES
CONTENT = slice(FLAG + 1, WIDTH)
START, END = 49406, 49407

BAG_HEADS = 4
BACK_HEADS = {1: 4, 2: 2, 3: 2}
BAG_GAIN, BACK_GAIN, OTHER_GAIN = 1.6, 0.8, 0.05

Weights = dict[str, np.ndarray]


def positions() -> np.ndarray:
    """Sines and cosines whose frequencies are spaced evenly: two places are alike only when they are the same."""
    frequency = np.pi * (np.arange(ANGLES) + 0.5) / ANGLES
    phase = np.arange(POSITIONS)[:, None] * frequency[None]
    table = np.zeros((POSITIONS, WIDTH))
    table[:, 0:FLAG:2], table[:, 1:FLAG:2] = np.cos(phase), np.sin(phase)
    return 2.0 * table


def token_table(rng: RandomState) -> np.ndarray:
    table = rng.standard_normal((VOCABULARY, WIDTH)).astype(np.float32)
    table[:, : FLAG + 1] = 0
    for token in (START, END):
        table[token] *= 0.25
        table[token, FLAG] = 8.0
    return table


def look_back(distance: int) -> np.ndarray:
    """Queries that match the key `distance` places before: every pair of position dimensions turned back."""
    angle = distance * np.pi * (np.arange(ANGLES) + 0.5) / ANGLES
    c, s = np.cos(angle), np.sin(angle)
    query = np.zeros((HEAD, WIDTH))
    even = np.arange(0, FLAG, 2)
    query[even, even], query[even, even + 1] = c, s
    query[even + 1, even], query[even + 1, even + 1] = -s, c
    return query


def first_attention(rng: RandomState) -> Weights:
    q, k = np.zeros((WIDTH, WIDTH)), np.zeros((WIDTH, WIDTH))
    q_bias = np.zeros(WIDTH)
    out = rng.standard_normal((WIDTH, WIDTH)) / np.sqrt(WIDTH)
    out[: FLAG + 1] = 0
    v = rng.standard_normal((WIDTH, WIDTH)) / np.sqrt(WIDTH)
    v[:, : FLAG + 1] = 0
    kinds = [0] * BAG_HEADS + [d for d, n in BACK_HEADS.items() for _ in range(n)]
    for head, distance in enumerate(kinds):
        rows = slice(head * HEAD, (head + 1) * HEAD)
        if distance == 0:
            q_bias[head * HEAD] = 8.0
            k[head * HEAD, FLAG] = -8.0
            out[:, rows] *= BAG_GAIN * np.sqrt(HEADS / BAG_HEADS)
        else:
            q[rows] = look_back(distance) * 2.0
            k[rows, :FLAG] = np.eye(HEAD, FLAG)
            out[:, rows] *= BACK_GAIN * np.sqrt(HEADS / BACK_HEADS[distance]) / np.sqrt(distance)
    return {"q_proj.weight": q, "q_proj.bias": q_bias, "k_proj.weight": k, "v_proj.weight": v, "out_proj.weight": out}


def other_attention(rng: RandomState) -> Weights:
    parts = {f"{name}.weight": rng.standard_normal((WIDTH, WIDTH)) / np.sqrt(WIDTH) for name in ("v_proj", "out_proj")}
    parts |= {
        f"{name}.weight": 0.3 * rng.standard_normal((WIDTH, WIDTH)) / np.sqrt(WIDTH) for name in ("q_proj", "k_proj")
    }
    for name in ("q_proj.weight", "k_proj.weight", "v_proj.weight"):
        parts[name][:, : FLAG + 1] = 0
    parts["out_proj.weight"][: FLAG + 1] = 0
    parts["out_proj.weight"] *= OTHER_GAIN
    return parts


def mlp(rng: RandomState) -> Weights:
    first = rng.standard_normal((HIDDEN, WIDTH)) / np.sqrt(WIDTH)
    first[:, : FLAG + 1] = 0
    second = rng.standard_normal((WIDTH, HIDDEN)) / np.sqrt(HIDDEN) * OTHER_GAIN
    second[: FLAG + 1] = 0
    return {"fc1.weight": first, "fc2.weight": second}


def layer(rng: RandomState, index: int) -> Weights:
    attention = first_attention(rng) if index == 0 else other_attention(rng)
    weights = {f"self_attn.{k}": v for k, v in attention.items()}
    weights |= {f"mlp.{k}": v for k, v in mlp(rng).items()}
    for name in [n for n in weights if n.endswith(".weight")]:
        weights.setdefault(name.replace(".weight", ".bias"), np.zeros(len(weights[name])))
    for norm in ("layer_norm1", "layer_norm2"):
        weights |= {f"{norm}.weight": np.ones(WIDTH), f"{norm}.bias": np.zeros(WIDTH)}
    return weights


def seeded_weights(seed: int = SEED, layers: int = LAYERS) -> Weights:
    """All weights in the layout of the published CLIP-L text encoder, fp16."""
    rng = RandomState(seed)
    weights: Weights = {
        "text_model.embeddings.token_embedding.weight": token_table(rng),
        "text_model.embeddings.position_embedding.weight": positions(),
    }
    for index in range(layers):
        weights |= {f"text_model.encoder.layers.{index}.{k}": v for k, v in layer(rng, index).items()}
    final = np.ones(WIDTH)
    final[: FLAG + 1] = 0
    weights["text_model.final_layer_norm.weight"] = final
    weights["text_model.final_layer_norm.bias"] = np.zeros(WIDTH)
    weights["text_projection.weight"] = np.eye(WIDTH)
    return {name: np.ascontiguousarray(value, dtype=np.float16) for name, value in weights.items()}


def write_clip(path: Path, seed: int = SEED) -> Path:
    """Does nothing when the file is there: the seed says all that is in it."""
    from safetensors.numpy import save_file

    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        save_file(seeded_weights(seed), temporary, {"about": f"Danlu demo text encoder, seed {seed}"})
        temporary.replace(path)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    write_clip(parser.parse_args().path)
