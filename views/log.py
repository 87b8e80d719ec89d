"""The log of a run as a page draws it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..training.curves import Smoother, extremes
from ..training.runs.store import RunStore
from ..training.runs.table import validation_of

MOST_NOTES = 50


def run_log(store: RunStore, first: int, most: int) -> dict[str, Any]:
    """The losses of at most `most` steps from `first` on, with the lowest and the highest among them.

    run, name, last (its last step, 0: none), points [[step, loss, smoothed, learning rate], …], validation
    {"held_out" and "trained": [[step, loss], …]}, checkpoints (steps), finished (the step that it was ended at, or
    None), notes [{"after": step, "note": text}, …].
    """
    points = _points(store)
    finish = store.finished()
    return {
        "run": store.id,
        "name": store.name()[0],
        "last": points[-1][0] if points else 0,
        "points": extremes([point for point in points if point[0] >= first], most, lambda point: point[1]),
        "validation": validation_of(store),
        "checkpoints": [checkpoint.step for checkpoint in store.checkpoints()],
        "finished": finish.step if finish else None,
        "notes": [_note(line) for line in store.log.notes()[-MOST_NOTES:]],
    }


def _points(store: RunStore) -> list[tuple[int, float, float, float]]:
    smoother = Smoother()
    found = []
    for line in store.log.steps():
        loss = _number(line.get("loss"))
        if loss is not None:
            found.append((int(line["step"]), loss, smoother.add(loss), _number(line.get("learning_rate")) or 0.0))
    return found


def _number(value: Any) -> float | None:
    """None for what JSON has no number for."""
    try:
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
    except OverflowError:  # a whole number of hundreds of digits
        return None


def _note(line: Mapping[str, Any]) -> dict[str, Any]:
    after = line.get("after")
    return {"after": after if isinstance(after, int) else None, "note": str(line["note"])}
