"""Other orders of a caption's tags."""

from __future__ import annotations

import hashlib

from .captions import one_line, without_trigger


def shuffled_tags(caption: str, trigger: str, keep: int, count: int) -> tuple[str, ...]:
    """Up to `count` texts, the caption itself first: its tags (parts between commas) in other orders.

    The first `keep` tags stay where they are, as does the trigger at the start. The orders follow from the caption
    alone, so that they are encoded once.
    """
    tags = [tag for tag in (one_line(part) for part in caption.split(",")) if tag]
    if trigger and tags and without_trigger(tags[0], trigger) != tags[0]:
        keep = max(keep, 1)
    fixed, free = tags[:keep], tags[keep:]
    found = dict.fromkeys([caption])
    for number in range(1, 10 * count):
        if len(found) >= count or len(free) < 2:
            break
        order = sorted(free, key=lambda tag: _place(caption, number, tag))
        found.setdefault(", ".join((*fixed, *order)))
    return tuple(found)


def _place(caption: str, number: int, tag: str) -> bytes:
    """A hash to sort by: the same on every machine, which `random` does not promise."""
    return hashlib.sha256(f"{caption}\0{number}\0{tag}".encode("utf-8", "surrogatepass")).digest()
