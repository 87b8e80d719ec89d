"""A run's log as a table: <run>/loss.csv, for spreadsheets and plots of one's own.

One row a step. Where checkpoints were measured, their rows have what was found; row 0 is the base without the LoRA.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from ..curves import Curves, Smoother
from ..writing import write_atomically
from .store import RunStore

LOGGED = ("loss", "smoothed", "learning_rate", "grad_norm", "prior_loss")
MEASURED = ("held_out", "trained", "effect", "leak", "response", "nearest")
"""Of a line of validation.jsonl; losses at several noise levels count with their mean."""

Row = dict[str, float]


def rows_of(store: RunStore, until: int | None = None) -> list[Row]:
    """`step`, then what is known of it: `LOGGED`, and `validation_...` of `MEASURED`."""
    smoother = Smoother()
    rows: dict[int, Row] = {}
    for line in store.log.steps(until):
        values = {**line, "smoothed": smoother.add(line["loss"])}
        rows[line["step"]] = {"step": line["step"], **{name: values[name] for name in LOGGED if name in values}}
    for line in store.validation.steps(until):
        row = rows.setdefault(line["step"], {"step": line["step"]})
        row.update({f"validation_{name}": value for name, value in measured(line).items()})
    return [rows[step] for step in sorted(rows)]


def measured(line: Mapping[str, Any]) -> dict[str, float]:
    """`MEASURED` of a line of validation.jsonl, where it has them."""
    found = {name: line[name] for name in MEASURED if line.get(name) not in (None, [])}
    means = {name: _mean(value) for name, value in found.items()}
    return {name: mean for name, mean in means.items() if mean is not None}


def _mean(value: Any) -> float | None:
    """None for what is no number: runs may come from other machines."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, (int, float)) for each in values):
        return None
    try:
        mean = fmean(values)
    except OverflowError:
        return None
    return mean if isinstance(value, list) else value


def validation_of(store: RunStore, until: int | None = None) -> dict[str, list[tuple[int, float]]]:
    """(step, loss) on "held_out" and "trained" pictures, where checkpoints were measured; step 0: the base."""
    found: dict[str, list[tuple[int, float]]] = {"held_out": [], "trained": []}
    for line in store.validation.steps(until):
        values = measured(line)
        for name, points in found.items():
            if math.isfinite(values.get(name, math.nan)):
                points.append((int(line["step"]), float(values[name])))
    return found


def columns_of(rows: Iterable[Row]) -> list[str]:
    """In the order of `LOGGED` and `MEASURED`; what was measured only where it was."""
    known = {name for row in rows for name in row}
    return ["step", *LOGGED, *(name for name in (f"validation_{m}" for m in MEASURED) if name in known)]


def write_table(store: RunStore, rows: list[Row]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns_of(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(store.folder / "loss.csv", text.getvalue().encode())


def curves_of(rows: Iterable[Row]) -> Curves:
    """What the picture of the loss shows of a table."""
    rows = list(rows)
    losses = {
        name: [(row["step"], row[key]) for row in rows if key in row]
        for name, key in (("held_out", "validation_held_out"), ("trained", "validation_trained"))
    }
    return Curves([row["loss"] for row in rows if "loss" in row], losses)
