"""Caption embeddings of the seeded encoder, shortened.

CLIP pads every caption to 77 tokens; the padding tokens' outputs are nearly equal, and Flux gives text no
positions. So `LENGTH` tokens are kept, and the last of them stands for all the rest, with the logarithm of their
number added to its attention score: the same attention at a third of the cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch

LENGTH, FULL = 20, 77
IMAGE_TOKENS = 64


@dataclass
class TextCache:
    tokens: torch.Tensor
    pooled: torch.Tensor


def key_bias() -> torch.Tensor:
    bias = torch.zeros(1, 1, 1, LENGTH + IMAGE_TOKENS)
    bias[..., LENGTH - 1] = math.log(FULL - LENGTH + 1)
    return bias


def load_clip(path: Path):
    import comfy.sd

    return comfy.sd.load_clip([str(path)], clip_type=comfy.sd.CLIPType.STABLE_DIFFUSION)


def short_ids(clip, captions: list[str]) -> torch.Tensor:
    rows = [[token for token, _ in clip.tokenize(text)["l"][0]][:LENGTH] for text in captions]
    ids = torch.tensor(rows)
    if not bool((ids[:, -4:] == ids[:, -1:]).all()):
        raise ValueError(f"a caption has more than {LENGTH - 4} tokens")
    return ids


@torch.no_grad()
def encode(clip, captions: list[str], batch: int = 256, bf16: bool = False) -> TextCache:
    """Attention is causal, so the first tokens' outputs do not depend on those left out."""
    model = clip.cond_stage_model.clip_l.transformer.text_model
    ids = short_ids(clip, captions)
    causal = torch.full((LENGTH, LENGTH), -1e9).triu(1)
    tokens, pooled = [], []
    for part in ids.split(batch):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            x = model.embeddings.token_embedding(part, out_dtype=torch.float32)
            x = x + model.embeddings.position_embedding.weight[:LENGTH].float()
            x, _ = model.encoder(x, mask=causal)
            x = model.final_layer_norm(x.float()).float()
        end = (part == 49407).int().argmax(1)
        tokens.append(x.half())
        pooled.append(x[torch.arange(len(part)), end].half())
    return TextCache(torch.cat(tokens), torch.cat(pooled))
