"""Blurred pictures: far less sharp than the others of their set, in their sharpest parts.

There is no absolute scale: a watercolour is no mistake, one soft photo among sharp ones is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from .finding import Finding, Severity, Subject, Thresholds, about
from .look import Look

SOFT = -6.5
"""Photos that are blurred by a pixel and a half of 512 or more lie below."""
FEWEST = 3


def blurred(subjects: Sequence[Subject], looks: Mapping[int, Look], limits: Thresholds) -> Iterator[Finding]:
    seen = [s for s in subjects if s.number in looks and looks[s.number].contrast > 3]
    if not seen:
        return
    middle = median(looks[s.number].sharpness for s in seen)
    lowest = middle - limits.blur if len(seen) >= FEWEST else SOFT
    soft = [s for s in seen if looks[s.number].sharpness < lowest]
    yield from about(
        "blurred",
        Severity.WARNING,
        sorted(soft, key=lambda s: looks[s.number].sharpness),
        "much less sharp than the rest" if len(seen) >= FEWEST else "not sharp anywhere",
        "Use sharper versions or leave them out: the LoRA learns the blur too. Enlarged pictures look like this.",
    )
    if len(seen) >= FEWEST and middle < SOFT:
        yield Finding(
            "soft",
            Severity.NOTE,
            (),
            "Most pictures have no sharp edges.",
            "Fine where that is the style; else look for the originals, before somebody enlarged or compressed them.",
        )
