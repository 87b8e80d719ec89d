"""What the trainer will see: final texts, how long they are for the text encoder, what is cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..dataset.model import Dataset, Picture, counted, listed


@dataclass(frozen=True)
class Length:
    """Of one text, for one text encoder."""

    encoder: str
    tokens: int
    """Without start, end and padding."""
    chunks: int = 1
    """CLIP reads 75 tokens at a time."""
    most: int = 0
    """What a chunk holds; 0: as many as there are."""

    def told(self) -> str:
        chunks = f" in {self.chunks} chunks of {self.most}" if self.chunks > 1 and self.most else ""
        return f"{self.encoder}: {counted(self.tokens, 'token')}{chunks}"


Counter = Callable[[str], tuple[Length, ...]]


def view(dataset: Dataset, shown: int, counter: Counter | None = None) -> list[str]:
    """Lines for the node: the first `shown` final texts with their lengths, then what is long or empty."""
    pictures = [picture for part in dataset.parts() for picture in part.pictures]
    lines = ["What the trainer will see:"] if shown and pictures else []
    for picture in pictures[:shown]:
        lines.append(f"{picture.name}: {picture.caption or '(empty)'}  [{_length(picture.caption, counter)}]")
    if len(pictures) > shown:
        lines.append(f"... and {len(pictures) - shown} more" if shown else counted(len(pictures), "text"))
    return lines + _remarks(pictures, counter)


def _length(text: str, counter: Counter | None) -> str:
    if counter is None:
        return counted(len(text.split()), "word")
    return ", ".join(length.told() for length in counter(text))


def _remarks(pictures: list[Picture], counter: Counter | None) -> list[str]:
    lines = []
    empty = [picture.name for picture in pictures if not picture.caption]
    if empty:
        lines.append(f"{counted(len(empty), 'empty text')}: {listed(empty)}")
    if counter is None or not pictures:
        return lines
    split: dict[str, list[str]] = {}
    most: dict[str, int] = {}
    for picture in pictures:
        for length in counter(picture.caption):
            most[length.encoder] = max(most.get(length.encoder, 0), length.tokens)
            if length.chunks > 1 and length.most:
                what = f"{length.encoder} reads {length.most} tokens at a time; longer texts are read in several pieces"
                split.setdefault(what, []).append(picture.name)
    lines += [f"{what}: {listed(names)}" for what, names in split.items()]
    return lines + ["Longest: " + ", ".join(f"{name} {tokens} tokens" for name, tokens in most.items())]
