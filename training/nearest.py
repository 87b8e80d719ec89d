"""What somebody may have meant by a pattern that is in no path."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable
from difflib import SequenceMatcher


def nearest(pattern: str, paths: Iterable[str], count: int = 3) -> list[str]:
    """The paths that hold a stretch of names most like `pattern`; one of each row of numbered blocks."""
    plain = re.sub(r"[\\^$()|?*+\[\]{}]", "", pattern).strip(".")
    kinds: dict[str, str] = {}
    for path in paths:
        kinds.setdefault(re.sub(r"\d+", "0", path), path)
    return heapq.nlargest(count, kinds.values(), key=lambda path: _likeness(plain, path))


def _likeness(plain: str, path: str) -> float:
    names = path.split(".")
    stretches = (names[i : j + 1] for i in range(len(names)) for j in range(i, len(names)))
    return max(SequenceMatcher(None, plain, ".".join(stretch)).ratio() for stretch in stretches)
