"""Bars above and below, or left and right: the LoRA would draw them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .finding import Finding, Severity, Subject, about
from .look import Look

THIN = 0.01


def borders(subjects: Sequence[Subject], looks: Mapping[int, Look]) -> Iterator[Finding]:
    framed = [s for s in subjects if s.number in looks and is_framed(looks[s.number])]
    yield from about(
        "border",
        Severity.WARNING,
        framed,
        "with plain bars at opposite edges",
        "Crop the bars off: they are in every picture that the LoRA draws afterwards.",
    )


def is_framed(look: Look) -> bool:
    top, right, bottom, left = look.bars
    return min(top, bottom) > THIN or min(left, right) > THIN
