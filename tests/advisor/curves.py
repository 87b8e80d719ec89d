"""Measurements of runs that never were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from danlu.advisor.measures import Evidence, Measure

BASE = (0.2, 0.1, 0.3, 0.4)
EVERY = 100


def evidence(
    held_out: Sequence[float] = (), trained: Sequence[float] = (), losses: Sequence[float] = (), **others: Any
) -> Evidence:
    """`held_out`, `trained`: losses over the base's at steps 100, 200, ...; `others`: a list each, by the name of the
    measure, or the run's settings."""
    count = max(len(held_out), len(trained))
    names = ("effect", "leak", "response", "nearest")
    measures = [Measure(0, _levels(held_out and 1.0), _levels(1.0), images=(len(held_out) and 2, 2))]
    for i in range(count):
        values = {name: others[name][i] for name in names if name in others}
        held = _levels(held_out[i]) if held_out else ()
        measures.append(Measure(EVERY * (i + 1), held, _levels(trained[i]), images=(len(held_out) and 2, 2), **values))
    settings = {name: value for name, value in others.items() if name not in names}
    steps = tuple(EVERY * (i + 1) for i in range(count or len(losses) // EVERY))
    return Evidence(steps, tuple(measures) if count else (), tuple(losses), settings)


def _levels(share: Any) -> tuple[float, ...]:
    return tuple(share * loss for loss in BASE) if share else ()
