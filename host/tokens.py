"""How long a text is for a CLIP of the host."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ..captioning.trainer_view import Counter, Length
from ..errors import DanluError

CHUNK = 77
"""What CLIP reads at once, with start and end; its tokenizers give longer texts in several pieces."""


TOKENIZERS = ("clip_l", "t5xxl", "qwen")
"""Those whose words come with the host: CLIP of SD1.5, SDXL and Flux; T5 of Flux and SD3; Qwen's."""


def token_counter(clip: Any) -> Counter:
    """Counts by the CLIP's own tokenizer, once a text. Nothing is loaded to a device."""
    return _counter(clip.tokenize, "text", clip.tokenizer)


@lru_cache(maxsize=len(TOKENIZERS))
def known_counter(name: str) -> Counter:
    """Of one of `TOKENIZERS`: needs no model. Raises DanluError for another."""
    from comfy.sd1_clip import SDTokenizer
    from comfy.text_encoders.qwen_image import Qwen25_7BVLITokenizer
    from comfy.text_encoders.sd3_clip import T5XXLTokenizer

    kinds = dict(zip(TOKENIZERS, (SDTokenizer, T5XXLTokenizer, Qwen25_7BVLITokenizer), strict=True))
    if name not in kinds:
        raise DanluError(f"There is no tokenizer {name!r}; there are {', '.join(kinds)}.")
    tokenizer = kinds[name]()
    return _counter(tokenizer.tokenize_with_weights, name, tokenizer)


def _counter(tokenize: Callable[..., Any], name: str, tokenizer: Any) -> Counter:
    """`tokenizer`: of the host, or what holds several of them."""
    lock = threading.Lock()
    """Fast tokenizers of transformers bear one thread at a time."""

    @lru_cache(maxsize=65536)
    def count(text: str) -> tuple[Length, ...]:
        with lock:
            try:
                found = tokenize(text, return_word_ids=True)
            except TypeError:  # a tokenizer that tells no words
                found = tokenize(text)
        batches = found if isinstance(found, dict) else {name: found}
        lists = {name: chunks for name, chunks in batches.items() if isinstance(chunks, list)}
        return tuple(_length(name, chunks, _reads(tokenizer, name)) for name, chunks in lists.items())

    return count


def _reads(tokenizer: Any, name: str) -> int:
    """Tokens that it reads at once, as `comfy.sd1_clip.SDTokenizer` has it; 0: it does not say."""
    parts = (getattr(tokenizer, each, None) for each in (name, f"clip_{name}"))
    part = next((part for part in parts if part is not None), tokenizer)
    return int(getattr(part, "max_length", 0))


def _length(name: str, chunks: list[Any], reads: int) -> Length:
    """Word 0 is what is no word: start, end, padding. Others than CLIP's pad to as many, and read all at once."""
    tokens = sum(1 for chunk in chunks for token in chunk if len(token) < 3 or token[2] != 0)
    split = len(chunks) > 1 or reads == CHUNK
    return Length(name, tokens, len(chunks), CHUNK - 2 if split else 0)
