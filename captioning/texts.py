"""Caption texts as people write them: lists of tags or sentences, and how two of them are joined."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..dataset.captions import one_line

KINDS = ("auto", "tags", "prose")
TAG_SEPARATOR = ", "
PROSE_SEPARATOR = " "

COMMAS = re.compile(r"[,，、]")
SENTENCE_END = re.compile(r"[.!?](?=\s|$)|[。！？]")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_CLOSED = (*".!?。！？…:;：；,，、",)
_OPENS_WITH = (*".!?。！？,，、;；:：)",)
MOST_WORDS_OF_A_TAG = 6
USUAL_WORDS_OF_A_TAG = 3.5


def kind_of(text: str) -> str:
    """ "tags", "prose", or nothing where the text would pass for both ("a cat")."""
    if SENTENCE_END.search(text):
        return "prose"
    parts = tags_of(text)
    words = [_words(part) for part in parts]
    if len(parts) > 1:
        usual = sum(words) / len(words) <= USUAL_WORDS_OF_A_TAG and max(words) <= MOST_WORDS_OF_A_TAG
        return "tags" if usual else "prose"
    return "prose" if words and words[0] > MOST_WORDS_OF_A_TAG else ""


def kind_of_all(texts: Iterable[str], wanted: str = "auto") -> str:
    """What a set of captions is: what most of them are; "tags" where nothing tells."""
    if wanted != "auto":
        return wanted
    kinds = [kind_of(text) for text in texts]
    return "prose" if kinds.count("prose") > kinds.count("tags") else "tags"


def tags_of(text: str) -> list[str]:
    """The parts between commas, none of them empty."""
    return [tag for part in COMMAS.split(text) if (tag := one_line(part))]


def deduped(tags: Iterable[str]) -> list[str]:
    """Without repetitions, whatever their case; the first of each stays."""
    found: dict[str, str] = {}
    for tag in tags:
        found.setdefault(tag.casefold(), tag)
    return list(found.values())


def join(left: str, right: str, joint: str) -> str:
    """Two texts with `joint` between them, but no doubled commas, full stops or spaces.

    Where a new sentence begins (white space as the joint, then a capital), the one before it is closed.
    """
    if not left or not right:
        return left or right
    if right.startswith(_OPENS_WITH):
        return left.rstrip(" .。,，") + right
    if not joint.strip():
        return (closed(left) if joint and right[0].isupper() else left) + joint + right
    if joint.strip() == "," and left.endswith(_CLOSED):
        return left.rstrip(" ,，") + (" " if left.endswith(_CLOSED[:7]) else joint) + right
    return left + joint + right


def closed(sentence: str) -> str:
    """With a full stop, unless it ends in a sign already."""
    if not sentence or sentence.endswith(_CLOSED):
        return sentence
    return sentence + ("。" if _CJK.match(sentence[-1]) else ".")


def _words(text: str) -> float:
    """Scripts that put no spaces between words: two characters count as one."""
    return max(len(text.split()), len(_CJK.findall(text)) / 2)
