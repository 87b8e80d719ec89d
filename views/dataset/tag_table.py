"""Which tags, or words of sentences, the captions have, and how often."""

from __future__ import annotations

from typing import Any

from ...captioning.frequency import holders
from ...captioning.texts import kind_of_all
from ...errors import DanluError
from .open import Opened
from .rereading import refresh

KINDS = {"tags": "tags", "words": "prose"}


def tag_table(opened: Opened, kind: str = "") -> dict[str, Any]:
    """The most frequent first; `kind` "": what most of the captions are."""
    refresh(opened, opened.numbers())
    bodies = [opened.now[n].body for n in opened.numbers()]
    kind = kind or ("words" if kind_of_all(body for body in bodies if body) == "prose" else "tags")
    if kind not in KINDS:
        raise DanluError(f"kind is {kind!r}; it can be one of {', '.join(KINDS)}.")
    found = [(tag, len(numbers)) for tag, numbers in holders(bodies, KINDS[kind])]
    found.sort(key=lambda each: (-each[1], each[0].casefold()))
    tags = [{"tag": tag, "count": count, "share": count / len(bodies)} for tag, count in found]
    return {"id": opened.id, "revision": opened.revision, "kind": kind, "pictures": len(bodies), "tags": tags}
