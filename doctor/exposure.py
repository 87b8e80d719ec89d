"""Pictures that show little: too dark, too bright, or almost nothing at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .finding import Finding, Severity, Subject, about
from .look import Look

DARK, BRIGHT = 70, 190
FLAT = 3.0
ONE_COLOUR = 0.985


def exposures(subjects: Sequence[Subject], looks: Mapping[int, Look]) -> Iterator[Finding]:
    seen = [(s, looks[s.number]) for s in subjects if s.number in looks]
    empty = [s for s, look in seen if _is_empty(look)]
    yield from about(
        "empty",
        Severity.PROBLEM,
        empty,
        "of one colour, or almost",
        "Take them out, or crop them closer to what they show.",
    )
    dark = [s for s, look in seen if look.brightest < DARK and not _is_empty(look)]
    yield from about(
        "dark", Severity.WARNING, dark, "very dark", "Brighten them, unless the darkness is what you train."
    )
    bright = [s for s, look in seen if look.darkest > BRIGHT and not _is_empty(look)]
    yield from about(
        "bright", Severity.WARNING, bright, "washed out", "Darken them, unless the paleness is what you train."
    )


def _is_empty(look: Look) -> bool:
    return look.contrast < FLAT or look.one_colour > ONE_COLOUR
