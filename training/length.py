"""How long to train, where the train node's steps are left on auto."""

from __future__ import annotations

import re

from ..errors import DanluError

PER_PICTURE = 80
LEAST, MOST = 1000, 8000

_FORM = re.compile(r"(\d+(?:\.\d+)?) (steps|epochs|a picture)")


def checked_length(length: str) -> None:
    """Raises DanluError for a text that `planned_steps` cannot read."""
    if length:
        _parsed(length)


def planned_steps(length: str, pictures: int, samples_per_epoch: int, rows: int) -> int:
    """Steps of a run. `length`: "2000 steps", "10 epochs", "80 a picture" (between 1,000 and 8,000), or "" for the
    last; `rows`: pictures a step; `samples_per_epoch`: pictures times their repeats."""
    number, unit = _parsed(length) if length else (PER_PICTURE, "a picture")
    if unit == "steps":
        return max(1, round(number))
    if unit == "epochs":
        return max(1, -(-round(number * samples_per_epoch) // rows))
    return min(MOST, max(LEAST, round(pictures * number)))


def _parsed(length: str) -> tuple[float, str]:
    match = _FORM.fullmatch(length)
    if match is None or not float(match[1]):
        raise DanluError(f"length is '{length}'; it must be like '2000 steps', '10 epochs' or '80 a picture'.")
    return float(match[1]), match[2]
