"""Advice: each line comes where it belongs, and only there."""

from __future__ import annotations

from typing import Any

import pytest

from danlu.advisor.next_run import advice
from danlu.advisor.verdicts import judge

from .curves import evidence
from .test_verdicts import FALLS, LEARNS

FINE = {"held_out": [0.95, 0.88, 0.82, 0.80, 0.80, 0.80], "trained": [0.94, 0.86, 0.78, 0.74, 0.73, 0.73]}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing learned": ({"held_out": [1.0] * 5, "trained": [0.999] * 5, "learning_rate": 1e-7}, "3.0e-07"),
    "still learning": (
        {"held_out": [0.97, 0.94, 0.9, 0.84, 0.78], "trained": [0.9, 0.85, 0.8, 0.7, 0.65]},
        "More steps",
    ),
    "too fast": (
        {"held_out": [0.8, 0.9, 0.95, 1.0, 1.1], "trained": FALLS[-5:], "learning_rate": 1e-3},
        "A third of the learning rate (3.3e-04 in place of 1.0e-03)",
    ),
    "far too long": (
        {"held_out": [0.9, 0.8, 0.81, *[0.95] * 7], "trained": FALLS, "learning_rate": 1e-3},
        "About 280 steps are enough",
    ),
    "by heart": ({"held_out": LEARNS, "trained": [v - 0.45 for v in LEARNS], "rank": 32}, "half the rank (16 in place"),
    "leaks": ({**FINE, "leak": [0.7] * 6}, "Regularisation images"),
    "deaf": ({**FINE, "response": [0.3] * 6}, "Captions that name"),
    "few": ({"trained": FALLS, "images": 7}, "with 7 none is held out"),
    "wild": (
        {"held_out": [0.8, 0.8, 1.1, 1.1, 0.8, 0.8, 1.1, 1.1, 0.85, 0.85], "trained": FALLS},
        "neighbouring checkpoints differ",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_line_has_its_reason(case: str) -> None:
    values, words = CASES[case]
    found = evidence(**values)
    lines = advice(found, judge(found))
    assert any(words in line for line in lines), lines


def test_a_fine_run_needs_no_change() -> None:
    found = evidence(**FINE, leak=[0.1] * 6, response=[0.9] * 6, rank=16, images=24, learning_rate=1e-4)
    assert advice(found, judge(found)) == ("Nothing: the next run may be as this one.",)


def test_what_preserves_the_prior_already_is_not_told_to() -> None:
    found = evidence(**FINE, leak=[0.7] * 6, prior_preservation=1.0)
    assert not any("Regularisation" in line for line in advice(found, judge(found)))


def test_nothing_measured() -> None:
    found = evidence(losses=[0.5] * 500)
    assert "validation" in advice(found, judge(found))[0]
