"""Training a LoRA from start to finished file: what a train node calls."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import DanluError
from .adapters import StartLora
from .checks import check_together, remarks
from .config import LoRAConfig, TrainingConfig, as_dict, check, is_auto
from .data import TrainingData
from .disk import check_disk, checkpoint_interval, disk_needs
from .facts import checkpoint_facts
from .families import Resolved, resolve
from .length import planned_steps
from .loop import StepLog, Trainer
from .memory import needs
from .model import BaseModel
from .objective import Prediction
from .reporter import Reporter
from .settle import as_made, settled
from .store import LoraModel, RunHandle, RunStore, run_id
from .text import TextModel
from .trained import Trained
from .watch import Diverged

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainRequest:
    """Everything a run depends on."""

    model: BaseModel
    base_identity: str
    data: TrainingData
    runs_folder: Path
    steps: int = -1
    """Train until this step; -1: from the number of pictures."""
    save_every: int = -1
    """-1: a tenth of the steps."""
    keep_last: int = -1
    seed: int = 0
    name: str = "lora"
    lora: LoRAConfig = field(default_factory=LoRAConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    text: TextModel | None = None
    """The text encoder, where the config says that it is trained too."""
    start: StartLora | None = None
    """The LoRA to go on from."""


@dataclass(frozen=True)
class TrainResult:
    lora: LoraModel
    handle: RunHandle
    losses: list[float]
    resolved: Resolved
    summary: str


@dataclass(frozen=True)
class Outline:
    """What a request comes to, before anything is loaded."""

    steps: int
    resolved: Resolved
    """Its gradient_checkpointing may still be "auto"."""
    store: RunStore


def outlined(request: TrainRequest) -> Outline:
    """Raises DanluError for values that cannot work."""
    steps = checked_steps(request.steps)
    lora = request.start.config(request.lora) if request.start else request.lora
    check(lora)
    check(request.training)
    if steps == -1:
        steps = auto_steps(request.training, request.data)
    prediction = request.model.prediction
    flow = prediction is Prediction.FLOW
    regularised = bool(request.data.regularisation)
    resolved = resolve(request.model.family, flow, lora, request.training, steps, regularised, request.model.shift)
    check_together(resolved.training, request.data, prediction)
    told = (*resolved.choices, *remarks(resolved.training, request.data, prediction, steps))
    store = RunStore(request.runs_folder / run_id(_identity(request, resolved)))
    return Outline(steps, replace(resolved, choices=told), store)


def train_lora(request: TrainRequest, reporter: Reporter) -> TrainResult:
    """Trains, or answers from disk when this very run has reached the step before."""
    outline = outlined(request)
    steps, store = outline.steps, outline.store
    summary = describe(request.data, outline.resolved.training, steps)
    reporter.text(summary)
    if store.checkpoint_path(steps).exists():
        resolved = as_made(outline.resolved, store)
    else:
        resolved = _train(request, outline, reporter)
    handle = RunHandle(store.folder, steps, request.name)
    lora = LoraModel(store.load_checkpoint(steps)[0], handle)
    return TrainResult(lora, handle, store.losses(steps), resolved, summary)


def auto_steps(training: TrainingConfig, data: TrainingData) -> int:
    """Steps when the train node names none: as the config says, else 80 a picture."""
    batch, accumulation = (1 if is_auto(n) else n for n in (training.batch_size, training.gradient_accumulation))
    return planned_steps(training.length, data.image_count, data.samples_per_epoch, batch * accumulation)


def describe(data: TrainingData, training: TrainingConfig, steps: int) -> str:
    """The plan in one line: "25 images × repeats 1, batch 1 → 2,000 steps = 80 epochs"."""
    rows = training.batch_size * training.gradient_accumulation
    epochs = steps * rows / data.samples_per_epoch
    repeats = sorted({entry.repeats for entry in data.trained})
    shown = f"{repeats[0]}" if len(repeats) == 1 else f"{repeats[0]}–{repeats[-1]}"
    times = f"{epochs:,.0f}" if epochs >= 10 else f"{epochs:.1f}"
    sizes = len(data.trained) // max(1, data.image_count)
    resolutions = f" × {sizes} resolutions" if sizes > 1 else ""
    return f"{data.image_count} images{resolutions} × repeats {shown}, batch {rows} → {steps:,} steps = {times} epochs"


def checked_steps(steps: int) -> int:
    """Raises DanluError for a number of steps that nothing can come of."""
    if steps == 0 or steps < -1:
        raise DanluError(f"steps is {steps}: nothing would be trained. Give 1 or more, or -1 for auto.")
    return steps


def _manifest(request: TrainRequest, resolved: Resolved) -> dict[str, Any]:
    manifest = {
        "format": 1,
        "base": request.base_identity,
        "data": request.data.fingerprint,
        "lora": as_dict(resolved.lora),
        "training": as_dict(resolved.training),
        "seed": request.seed,
    }
    if request.text:
        manifest["text_encoder"] = request.text.identity
    if request.start:
        manifest["start"] = request.start.decides(request.lora)
    return manifest


def _identity(request: TrainRequest, resolved: Resolved) -> dict[str, Any]:
    """The manifest without what changes memory and time, and the result by rounding at most: a run that ran out of
    memory can go on with gradient checkpointing."""
    manifest = _manifest(request, resolved)
    del manifest["training"]["gradient_checkpointing"]
    return manifest


def trainer_for(request: TrainRequest, outline: Outline, reporter: Reporter) -> tuple[Trained, Trainer]:
    """New adapters, and what would train them; the model is not loaded yet."""
    resolved = outline.resolved
    adapters = Trained.create(request.model, resolved.lora, request.seed, request.lora, request.start, request.text)
    trainer = Trainer(
        request.model,
        request.data,
        adapters.network,
        resolved.training,
        request.seed,
        reporter,
        text=adapters.text,
    )
    return adapters, trainer


def _train(request: TrainRequest, outline: Outline, reporter: Reporter) -> Resolved:
    """The values that it trained with."""
    steps, store = outline.steps, outline.store
    adapters, trainer = trainer_for(request, outline, reporter)
    needed = needs(adapters.parameters(), trainer.config, activations=0)
    algorithm = outline.resolved.lora.algorithm
    check_disk(disk_needs(needed, algorithm, steps, request.save_every, request.keep_last, request.runs_folder))
    resolved, activations = settled(outline.resolved, trainer, store)
    store.start(_manifest(request, resolved))
    store.write_names(request.model.file_names(adapters.stems()))
    every = checkpoint_interval(request.save_every, steps)
    good: list[int] = []

    def finish_step(entry: StepLog) -> None:
        store.append_log(entry)
        if entry.step % every == 0 or entry.step == steps:
            facts = checkpoint_facts(request, resolved, entry.step)
            with running.weights_to_keep():
                store.save_checkpoint(entry.step, adapters.state_dict(), facts)
            if not running.watch.suspicious:
                good.append(entry.step)
                store.keep_last(request.keep_last, steps)

    log.info("%d adapters of rank %d; %s", len(adapters.stems()), resolved.lora.rank, "; ".join(resolved.choices))
    running = replace(trainer, config=resolved.training, activations=activations, on_step=finish_step)
    try:
        running.run(steps)
    except Diverged as error:
        raise Diverged(f"{error} {_last_good(store, good)}") from error
    return resolved


def _last_good(store: RunStore, steps: list[int]) -> str:
    if not steps:
        return "Nothing was saved before that."
    return f"What was learned up to step {steps[-1]} is kept: {store.checkpoint_path(steps[-1])}."
