"""Caption texts: read from files, cleaned, the trigger put in."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from .files import file_stat, shown

PLACEHOLDER = re.compile(r"\[trigger\]", re.IGNORECASE)
CAPTION_SUFFIXES = (".txt", ".caption")
METADATA_SUFFIXES = (".csv", ".tsv", ".jsonl", ".json")
MAX_WORDS = 400
"""More than any text encoder was trained on (512 tokens are about 380 words)."""
MAX_CHARACTERS = 3000
"""The same bound for scripts that do not put spaces between words."""

MAX_BYTES = 1 << 20


class UnreadableCaption(ValueError):
    """Says why a caption file cannot be used."""


def read_caption(path: Path) -> str:
    """The file's text on one line."""
    check_link(path)
    if file_stat(path).st_size > MAX_BYTES:
        raise UnreadableCaption(f"more than {MAX_BYTES >> 10} KB, not a caption")
    return one_line(decode(path.read_bytes()))


def check_link(path: Path) -> None:
    """Raises UnreadableCaption: a folder from a stranger may hold a cat.txt that is a link to a key or a password."""
    if path.is_symlink():
        target = Path(os.path.realpath(path))
        if target.suffix.lower() not in (*CAPTION_SUFFIXES, *METADATA_SUFFIXES):
            raise UnreadableCaption(f"a link to {shown(target.name)}, which is no caption file")


def decode(raw: bytes) -> str:
    """Text of a caption file: UTF-8, UTF-16 with its mark, or what Chinese and western Windows write."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif b"\0" in raw:
        raise UnreadableCaption("not a text file")
    else:
        encodings = ["utf-8-sig", "gb18030", "cp1252"]
    for encoding in encodings:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UnreadableCaption("not a text file that can be decoded; save it as UTF-8")


def one_line(text: str) -> str:
    return " ".join(text.split())


def from_file_name(stem: str) -> str:
    """`a_red_fox (3)` -> `a red fox`."""
    words = one_line(stem.replace("_", " "))
    without_number = re.sub(r"[\s\-]*(\(\d+\)|(?<=[\s\-])\d+)$", "", words).strip()
    return without_number or words


def with_trigger(caption: str, trigger: str) -> str:
    """The trigger stands in for `[trigger]`, else goes in front, and is never there twice."""
    if PLACEHOLDER.search(caption):
        filled = PLACEHOLDER.sub(lambda _: trigger, caption)
        return filled if trigger else _without_gaps(filled)
    if not trigger or holds(caption, trigger):
        return caption
    return f"{trigger}, {caption}" if caption else trigger


def without_trigger(caption: str, trigger: str, class_word: str = "") -> str:
    """A final caption with `class_word` in place of the trigger; without one, the trigger is taken out."""
    if not trigger:
        return caption
    return _without_gaps(_pattern(trigger).sub(lambda _: class_word, caption))


def clean_trigger(text: str) -> str:
    return one_line(text).strip(" ,")


def cut(caption: str) -> tuple[str, str | None]:
    """The caption, shortened if it is absurdly long, and what was done about it."""
    words = caption.split(" ")
    short = " ".join(words[:MAX_WORDS])
    if len(short) > MAX_CHARACTERS:
        short = short[:MAX_CHARACTERS]
    if short == caption:
        return caption, None
    if len(words) > MAX_WORDS:
        return short.rstrip(" ,"), f"{len(words)} words, the first {len(short.split())} are used"
    return short.rstrip(" ,"), f"{len(caption)} characters, the first {len(short)} are used"


def holds(caption: str, trigger: str) -> bool:
    """Whether the trigger is in there as a word of its own, whatever its case."""
    return _pattern(trigger).search(caption) is not None


@lru_cache(maxsize=64)
def _pattern(trigger: str) -> re.Pattern[str]:
    # Only scripts with spaces have word ends: "cat" is not in "category", but 丹童 is in 丹童在跑.
    word = re.escape(trigger)
    return re.compile(rf"(?<!\w){word}(?!\w)" if trigger.isascii() else word, re.IGNORECASE)


def _without_gaps(text: str) -> str:
    """What is left when `[trigger]` is taken out: no double commas or spaces."""
    parts = (one_line(part) for part in text.split(","))
    return ", ".join(part for part in parts if part)
