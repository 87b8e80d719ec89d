"""One caption's tags or sentences: removed, replaced, added, moved, sorted; the trigger stays where it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..dataset.captions import one_line
from .patterns import Pattern
from .texts import closed, deduped, join, tags_of

_SENTENCES = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])\s*")
_HIDDEN = "\ue001"
"""Stands for the trigger while phrases are edited."""


@dataclass(frozen=True)
class Steps:
    """What is done to each caption, in this order."""

    remove: Sequence[Pattern] = ()
    replace: Sequence[tuple[Pattern, str]] = ()
    dedupe: bool = False
    add_front: Sequence[str] = ()
    add_end: Sequence[str] = ()
    move_to_front: Sequence[Pattern] = ()
    order: Callable[[str], object] | None = field(default=None)
    """Sorts tags; sentences have no other order."""


def edited_tags(text: str, steps: Steps, trigger: str) -> str:
    """A list of tags."""
    tags = tags_of(text)
    ours = _is_trigger(trigger)
    front = tags[:1] if tags and ours(tags[0]) else []
    rest = tags[len(front) :]
    rest = [tag for tag in rest if ours(tag) or not any(pattern.fits(tag) for pattern in steps.remove)]
    for pattern, new in steps.replace:
        rest = [
            part
            for tag in rest
            for part in (tags_of(pattern.replaced_tag(tag, new)) if not ours(tag) and pattern.fits(tag) else [tag])
        ]
    if steps.dedupe:
        rest = [tag for tag in deduped([*front, *rest]) if tag not in front]
    rest = _with_added(rest, steps)
    moved = [tag for pattern in steps.move_to_front for tag in rest if pattern.fits(tag)]
    moved = list(dict.fromkeys(moved))
    rest = [*moved, *(tag for tag in rest if tag not in moved)]
    if steps.order is not None:
        rest = [*moved, *sorted(rest[len(moved) :], key=steps.order)]  # type: ignore[arg-type]
    return ", ".join([*front, *rest])


def _with_added(tags: list[str], steps: Steps) -> list[str]:
    """What a caption has already is not added."""
    have = {tag.casefold() for tag in tags}
    front = [tag for tag in steps.add_front if tag.casefold() not in have]
    end = [tag for tag in steps.add_end if tag.casefold() not in have]
    return [*front, *tags, *end]


def _is_trigger(trigger: str) -> Callable[[str], bool]:
    names = {"[trigger]", trigger.casefold()} - {""}
    return lambda tag: tag.casefold() in names


def edited_prose(text: str, steps: Steps, trigger: str) -> str:
    """Sentences: phrases are removed and replaced, whole sentences added, moved and deduped."""
    shown = [match[0] for match in re.finditer(_protected(trigger), text, re.IGNORECASE)]
    text = re.sub(_protected(trigger), _HIDDEN, text, flags=re.IGNORECASE)
    for pattern in steps.remove:
        text = _mended(pattern.replaced(text, "\ue002")) if pattern.is_in(text) else text
    for pattern, new in steps.replace:
        text = one_line(pattern.replaced(text, new)) if new else _mended(pattern.replaced(text, "\ue002"))
    sentences = [sentence for sentence in _SENTENCES.split(text) if sentence.strip()]
    if steps.dedupe:
        sentences = deduped(sentences)
    moved = [s for pattern in steps.move_to_front for s in sentences if pattern.is_in(s)]
    if moved:
        moved = list(dict.fromkeys(moved))
        sentences = [*moved, *(s for s in sentences if s not in moved)]
    text = _joined(sentences)
    lead, text = _lead(text)
    for added in reversed(steps.add_front):
        text = text if _has(text, added) else join(closed(added), text, " ")
    for added in steps.add_end:
        text = text if _has(text, added) else join(closed(text), added, " ")
    text = lead + text
    for word in shown:
        text = text.replace(_HIDDEN, word, 1)
    return text.replace(_HIDDEN, trigger)


def _protected(trigger: str) -> str:
    found = [r"\[trigger\]"]
    if trigger:
        word = re.escape(trigger)
        found.append(rf"(?<!\w){word}(?!\w)" if trigger.isascii() else word)
    return "|".join(found)


def _lead(text: str) -> tuple[str, str]:
    """A trigger in front, with its comma, and what is behind it."""
    match = re.match(rf"{_HIDDEN}\s*[,，]\s*", text)
    return (match[0], text[match.end() :]) if match else ("", text)


def _joined(sentences: Sequence[str]) -> str:
    text = ""
    for sentence in sentences:
        text += ("" if not text or text[-1] in "。！？" else " ") + sentence
    return text


def _has(text: str, sentence: str) -> bool:
    return one_line(sentence).rstrip(".。").casefold() in text.casefold()


def _mended(text: str) -> str:
    """A text that something was cut out of, where the mark is; nothing else of it is touched."""
    text = re.sub(r"(?:(?<=[.!?。！？])|^)\s*\ue002\s*[.!?。！？]", "", text)  # a whole sentence
    text = re.sub(r"\s*\ue002\s*(?=[,.;:!?，。])", "", text)
    text = re.sub(r"(^|[.!?]\s+)\ue002\s*[,;:]?\s*", r"\1", text)
    text = re.sub(r"([,，])\s*\ue002\s*[,，]", r"\1", text)
    text = re.sub(r"^\s*([,，;:]\s*)+", "", re.sub(r"\s*\ue002\s*", " ", text))
    return one_line(re.sub(r"([,，])(\s*[,，])+", r"\1", text))


def order_by(name: str, counts: Mapping[str, int]) -> Callable[[str], object] | None:
    """ "alphabet", "frequency" (the most frequent first), or None for "off"."""
    if name == "alphabet":
        return lambda tag: tag.casefold()
    if name == "frequency":
        return lambda tag: -counts.get(tag.casefold(), 0)
    return None
