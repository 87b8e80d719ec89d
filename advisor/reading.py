"""A run on disk as the advisor sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..training.runs.store import RunStore
from ..training.writing import write_json
from .measures import Evidence, Measure
from .report import as_json
from .verdicts import Judgement

SETTINGS = ("learning_rate", "prior_preservation", "batch_size")


def read_evidence(run: Path, until: int | None = None) -> Evidence:
    """Checkpoints, measurements and losses up to step `until`."""
    store = RunStore(run)
    steps = tuple(c.step for c in store.checkpoints() if until is None or c.step <= until)
    measures = tuple(Measure.from_json(line) for line in store.validation.steps(until))
    # Single steps say less than any measurement, and are many to read.
    losses = () if measures else tuple(float(line["loss"]) for line in store.log.steps(until))
    return Evidence(steps, measures, losses, _settings(store))


def _settings(store: RunStore) -> dict[str, Any]:
    try:
        manifest, pictures = store.manifest(), store.dataset()
    except (OSError, ValueError):
        return {}
    training = manifest.get("training", {})
    found = {name: training[name] for name in SETTINGS if name in training}
    found["rank"] = manifest.get("lora", {}).get("rank")
    found["images"] = sum(picture.get("role", "train") == "train" for picture in pictures.values())
    return found


def write_advice(run: Path, judgement: Judgement) -> None:
    write_json(run / "advice.json", as_json(judgement))
