"""A run on disk as the advisor sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import DanluError
from ..training.runs.store import RunHandle, RunStore
from ..training.writing import write_json
from .measures import Evidence, Measure
from .report import as_json
from .verdicts import Judgement, Verdict, judge

SETTINGS = ("learning_rate", "prior_preservation", "batch_size")


def read_evidence(run: Path, until: int | None = None) -> Evidence:
    """Checkpoints, measurements and losses up to step `until`."""
    store = RunStore(run)
    steps = tuple(c.step for c in store.checkpoints() if until is None or c.step <= until)
    measures = tuple(Measure.from_json(line) for line in store.validation.steps(until))
    # Single steps say less than any measurement, and are many to read.
    losses = () if measures else tuple(float(line["loss"]) for line in store.log.steps(until))
    return Evidence(steps, measures, losses, _settings(store))


def recommended(handle: RunHandle) -> Verdict:
    """Of the best checkpoint up to the handle's step. Raises DanluError where none is good."""
    judgement = judge(read_evidence(handle.folder, handle.step))
    if not judgement.ranking:
        raise DanluError(f"The run '{handle.name}' holds no checkpoint up to step {handle.step}.")
    best = judgement.of(judgement.ranking[0])
    if best is None:
        raise DanluError(
            f"No checkpoint of '{handle.name}' was measured. Turn validation of Training Config (Danlu) on for a next "
            "run, or save one with Save LoRA (Danlu) by its step."
        )
    if judgement.recommended is None:
        raise DanluError(
            f"No checkpoint of '{handle.name}' is good (step {best.step:,}: {best.state}, {best.reason}). Look at the "
            "report of Advisor (Danlu), or save the final one all the same with Save LoRA (Danlu)."
        )
    return best


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
