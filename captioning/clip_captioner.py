"""Captions by a text encoder that the user has loaded anyway, where it is a model that sees and writes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import DanluError
from .captioner import Caption
from .engine import ATTEMPTS
from .generate import row_seed
from .joy import tidy_tags
from .joy_prompts import Prompt
from .repetition import repeats_itself

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

THOUGHT = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
LIVELY = 0.7
"""Temperature of another try at a text that was not drawn: the host applies penalties only when it draws."""


class TextModel(Protocol):
    """The host's CLIP, as its own node TextGenerate uses it."""

    def tokenize(self, text: str, **settings: Any) -> Any: ...
    def generate(self, tokens: Any, **settings: Any) -> list[int]: ...
    def decode(self, token_ids: list[int]) -> str: ...


@dataclass(frozen=True)
class ClipOptions:
    prompt: Prompt
    max_new_tokens: int = 512
    temperature: float = 0.7
    """0: the likeliest text, whatever the seed."""
    top_p: float = 0.95
    top_k: int = 64
    min_p: float = 0.05
    max_side: int = 1024
    """Larger pictures are shrunk to this: these models read them in pieces, the more the slower."""


class ClipCaptioner:
    """A `Captioner`. One picture at a time: the host writes no batches."""

    batch_size = 1

    def __init__(self, clip: TextModel, identity: str, options: ClipOptions, give_back: Callable[[], None]):
        """`identity`: of the model's weights. `give_back`: takes it off the device."""
        self._clip, self._options, self._give_back = clip, options, give_back
        self.kind = options.prompt.kind
        self.title = "The loaded text encoder"
        self.identity = hashlib.sha256(f"clip|{identity}|{asdict(options)}".encode()).hexdigest()
        self._require_eyes()

    def captions(self, pictures: Sequence[Image.Image], seeds: Sequence[int]) -> list[Caption]:
        return [self._caption(picture, seed) for picture, seed in zip(pictures, seeds, strict=True)]

    def release(self) -> None:
        self._give_back()

    def _caption(self, picture: Image.Image, seed: int) -> Caption:
        best = Caption("", "empty")
        image = as_image(picture, self._options.max_side)
        for attempt in range(ATTEMPTS):
            best = self._written(image, seed if not attempt else row_seed(seed, "again", attempt), attempt)
            if best.flag not in ("repeats itself", "empty"):
                break
        return best

    def _written(self, image: Tensor, seed: int, attempt: int) -> Caption:
        options = self._options
        temperature = options.temperature or (LIVELY if attempt else 0.0)
        ids = self._clip.generate(
            self._tokens(image),
            do_sample=temperature > 0,
            max_length=options.max_new_tokens,
            temperature=temperature or 1.0,
            top_k=options.top_k,
            top_p=options.top_p,
            min_p=options.min_p,
            repetition_penalty=1.05 * 1.1**attempt,
            presence_penalty=0.0,
            seed=seed,
        )
        text = THOUGHT.sub("", self._clip.decode(ids)).strip()
        text = tidy_tags(text) if self.kind == "tags" else " ".join(text.split())
        if repeats_itself(text):
            return Caption(text, "repeats itself")
        if len(ids) >= options.max_new_tokens:
            return Caption(text, f"cut at {options.max_new_tokens} tokens")
        return Caption(text, "" if text else "empty")

    def _tokens(self, image: Tensor) -> Any:
        # With its template, which holds the place for the picture.
        return self._clip.tokenize(self._options.prompt.text, image=image, min_length=1, thinking=False)

    def _require_eyes(self) -> None:
        import torch

        if not _holds_image(self._tokens(torch.zeros(1, 64, 64, 3))):
            raise DanluError(
                "The input 'clip' is a text encoder that sees no pictures. Load one that does (Qwen2.5-VL, Qwen3-VL, "
                "Gemma 3 4B or 12B), as Qwen-Image, Flux.2 and others use, or take another captioner."
            )


def as_image(picture: Image.Image, max_side: int) -> Tensor:
    """The host's IMAGE: (1, height, width, 3), 0 to 1."""
    import numpy as np
    import torch

    if max(picture.size) > max_side:
        picture = picture.copy()
        picture.thumbnail((max_side, max_side))
    return torch.from_numpy(np.asarray(picture.convert("RGB"), dtype=np.float32) / 255)[None]


def _holds_image(tokens: Any) -> bool:
    """Pictures are entries `{"type": "image", ...}` among the tokens."""
    if isinstance(tokens, dict):
        return tokens.get("type") == "image" or any(map(_holds_image, tokens.values()))
    return isinstance(tokens, list | tuple) and any(map(_holds_image, tokens))
