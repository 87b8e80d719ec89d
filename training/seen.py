"""Text encoders that see the pictures before an edit beside its instruction (Qwen-Image-Edit)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..dataset.images import open_rgb
from ..errors import DanluError
from .cache import digest

if TYPE_CHECKING:
    from .encode import Encoder

PLUS, EDIT, TEXT_ONLY = "Qwen Edit Plus", "Qwen Edit", "text only"
EDIT_PROMPTS = ("auto", PLUS, EDIT, TEXT_ONLY)
_NODES = {PLUS: "TextEncodeQwenImageEditPlus", EDIT: "TextEncodeQwenImageEdit"}
"""Of the host: what is tested must be encoded in the same way."""


def check_prompt(choice: str) -> None:
    if choice not in EDIT_PROMPTS:
        raise DanluError(f"The input 'edit_prompt' is {choice!r}; it can be one of {', '.join(EDIT_PROMPTS)}.")


def prompt_kind(encoder: Encoder, choice: str) -> str | None:
    """`PLUS` or `EDIT`; None where the text encoder reads nothing but text."""
    if not encoder.sees_pictures or choice == TEXT_ONLY:
        return None
    return PLUS if choice == "auto" else choice


def seen_pictures(befores: Sequence[Path], kind: str) -> tuple[Path, ...]:
    """The older node takes one picture only."""
    return tuple(befores[:1] if kind == EDIT else befores)


def seen_key(contents: Iterable[str], kind: str, flipped: bool) -> str:
    """What a caption was encoded with, as a part of its name in the cache."""
    return digest("seen", kind, flipped, *contents)


def load_seen(path: Path, flipped: bool) -> Tensor:
    """The whole picture, (1, height, width, 3) in 0..1; the encoder makes it smaller."""
    pixels = torch.from_numpy(np.asarray(open_rgb(path), dtype=np.float32) / 255.0)[None]
    return pixels.flip(2) if flipped else pixels


def seen_notes(encoder: Encoder, choice: str, befores: int) -> list[str]:
    kind = prompt_kind(encoder, choice)
    if kind is None:
        return []
    auto = " (auto)" if choice == "auto" else ""
    notes = [f"Captions are encoded with their befores{auto}: test with {_NODES[kind]}"]
    if kind == EDIT and befores > 1:
        notes.append(f"{_NODES[EDIT]} sees the first before only; {PLUS} sees all")
    return notes
