"""How long a text is for a CLIP of the host."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..captioning.trainer_view import Counter, Length

CHUNK = 77
"""What CLIP reads at once, with start and end; its tokenizers give longer texts in several pieces."""


def token_counter(clip: Any) -> Counter:
    """Counts by the CLIP's own tokenizer, once a text. Nothing is loaded to a device."""

    @lru_cache(maxsize=65536)
    def count(text: str) -> tuple[Length, ...]:
        try:
            found = clip.tokenize(text, return_word_ids=True)
        except TypeError:  # a tokenizer that tells no words
            found = clip.tokenize(text)
        batches = found if isinstance(found, dict) else {"text": found}
        return tuple(_length(name, chunks) for name, chunks in batches.items() if isinstance(chunks, list))

    return count


def _length(name: str, chunks: list[Any]) -> Length:
    """Word 0 is what is no word: start, end, padding."""
    tokens = sum(1 for chunk in chunks for token in chunk if len(token) < 3 or token[2] != 0)
    split = len(chunks) > 1 or bool(chunks) and len(chunks[0]) == CHUNK
    return Length(name, tokens, len(chunks), CHUNK - 2 if split else 0)
