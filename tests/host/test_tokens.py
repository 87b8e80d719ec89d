"""How long captions are for the tokenizers that come with the host."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from comfy.text_encoders.flux import FluxTokenizer

from danlu.errors import DanluError
from danlu.host.tokens import known_counter, token_counter

SHORT, LONG = "a small cat", " ".join(["cat"] * 100)


@pytest.mark.parametrize(("name", "short", "long"), [("clip_l", (1, 75), (2, 75)), ("t5xxl", (1, 0), (1, 0))])
def test_only_clip_reads_in_pieces(name: str, short: tuple[int, int], long: tuple[int, int]) -> None:
    """T5's tokenizer pads to as many tokens as a piece of CLIP's has."""
    for text, words, wanted in ((SHORT, 3, short), (LONG, 100, long)):
        (found,) = known_counter(name)(text)
        assert found.tokens >= words and (found.chunks, found.most) == wanted


def test_each_tokenizer_of_a_clip() -> None:
    tokenizer = FluxTokenizer()
    count = token_counter(SimpleNamespace(tokenize=tokenizer.tokenize_with_weights, tokenizer=tokenizer))
    assert {each.encoder: (each.chunks, each.most) for each in count(SHORT)} == {"l": (1, 75), "t5xxl": (1, 0)}
    assert {each.encoder: (each.chunks, each.most) for each in count(LONG)} == {"l": (2, 75), "t5xxl": (1, 0)}


def test_a_tokenizer_that_there_is_not() -> None:
    with pytest.raises(DanluError, match="clip_l, t5xxl, qwen"):
        known_counter("t6")
