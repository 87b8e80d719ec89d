"""Texts before and after a change, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..dataset.model import counted


@dataclass(frozen=True)
class Difference:
    name: str
    before: str
    after: str


def shown_differences(found: Sequence[Difference], shown: int | None = None) -> str:
    """Three lines each: name, - before, + after."""
    if not found:
        return "No text changes."
    lines = [f"{counted(len(found), 'text')} changed:" if len(found) != 1 else "1 text changed:"]
    for difference in found[:shown]:
        lines += [difference.name, f"- {difference.before}", f"+ {difference.after}"]
    left = len(found) - shown if shown is not None else 0
    return "\n".join([*lines, *([f"... and {left} more"] if left > 0 else [])])
