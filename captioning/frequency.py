"""How often each tag, or each word of sentences, is there."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from ..dataset.model import NAMED_AT_MOST, Dataset
from .texts import tags_of

_WORD = re.compile(r"[^\W\d_][\w'-]+")
_WORDS = """
    a an and are as at be been being but by for from has have he her his in into is it its of on or she that the their
    them there they this to was were which while who with
"""
_COMMON = frozenset(_WORDS.split())


@dataclass(frozen=True)
class Frequency:
    tag: str
    count: int
    """Captions that have it."""
    total: int
    without: tuple[str, ...]
    """The first pictures whose captions have it not."""

    @property
    def share(self) -> float:
        return self.count / self.total if self.total else 0.0


def frequencies(dataset: Dataset, kind: str) -> list[Frequency]:
    """The most frequent first. `kind` "prose": words, but for the commonest."""
    pictures = [picture for part in dataset.parts() for picture in part.pictures]
    found = []
    for tag, numbers in holders([picture.body for picture in pictures], kind):
        without = islice((p.name for number, p in enumerate(pictures) if number not in numbers), NAMED_AT_MOST)
        found.append(Frequency(tag, len(numbers), len(pictures), tuple(without)))
    return sorted(found, key=lambda frequency: (-frequency.count, frequency.tag.casefold()))


def holders(bodies: Sequence[str], kind: str) -> list[tuple[str, set[int]]]:
    """Each tag or word, as it is written where it comes first, and which of the texts have it."""
    have: dict[str, set[int]] = {}
    shown: dict[str, str] = {}
    for number, body in enumerate(bodies):
        for tag in _units(body, kind):
            shown.setdefault(tag.casefold(), tag)
            have.setdefault(tag.casefold(), set()).add(number)
    return [(shown[key], numbers) for key, numbers in have.items()]


def _units(text: str, kind: str) -> list[str]:
    if kind == "tags":
        return tags_of(text)
    return [word.lower() for word in _WORD.findall(text) if word.lower() not in _COMMON]


def as_table(found: list[Frequency], shown: int | None = None) -> str:
    """Lines for people."""
    if not found:
        return "No tags."
    lines = ["count   share  without  tag"]
    lines += [f"{f.count:5}  {f.share:6.1%}  {f.total - f.count:7}  {f.tag}" for f in found[:shown]]
    left = len(found) - shown if shown is not None else 0
    return "\n".join([*lines, *([f"... and {left} more"] if left > 0 else [])])


def as_csv(found: list[Frequency]) -> str:
    """For spreadsheets: tag, count, percent, without, images_without (the first few)."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["tag", "count", "percent", "without", "images_without"])
    for f in found:
        missing = f.total - f.count
        names = ", ".join(f.without) + (f" and {missing - len(f.without)} more" if missing > len(f.without) else "")
        writer.writerow([f.tag, f.count, f"{100 * f.share:.1f}", missing, names])
    return out.getvalue()
