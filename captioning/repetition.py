"""Finds texts that got stuck: the same words over and over."""

from __future__ import annotations

import re
from collections import Counter

WORDS = re.compile(r"[぀-ヿ㐀-鿿]|[^\W_]+(?:['_-][^\W_]+)*")
"""One by one where a script puts no spaces between words."""
PARTS = re.compile(r"[.,;!?。，；！？\n]+")
TIMES = 3
AT_LEAST = 6
"""Words in a loop: "very, very, very" is none."""
SHORT_TIMES = 5
LONG_PART = 3


def repeats_itself(text: str) -> bool:
    """Whether a run of words comes three times in a row, or a sentence or tag again and again."""
    words = WORDS.findall(text.casefold())
    return _loops(words) or _says_again(text.casefold())


def _loops(words: list[str]) -> bool:
    """A loop of `period` words: each word equals the one `period` before it, for two periods on end."""
    for period in range(1, len(words) // TIMES + 1):
        needed = max(period * (TIMES - 1), AT_LEAST - period)
        run = 0
        for earlier, later in zip(words, words[period:], strict=False):
            run = run + 1 if earlier == later else 0
            if run >= needed:
                return True
    return False


def _says_again(text: str) -> bool:
    """The same part between two marks: three times if it is long, five if it is a word or two."""
    parts = Counter(" ".join(WORDS.findall(part)) for part in PARTS.split(text))
    del parts[""]
    return any(count >= (TIMES if len(part.split()) >= LONG_PART else SHORT_TIMES) for part, count in parts.items())
