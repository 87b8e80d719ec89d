"""What a request comes to, before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import DanluError
from .checks import check_together, idle, remarks
from .config import TrainingConfig, check, is_auto
from .data import TrainingData
from .families import Resolved, resolve
from .length import planned_steps
from .objective import Prediction
from .request import TrainRequest
from .runs.locate import Located, Parent, located
from .runs.store import RunStore
from .settle import as_made


@dataclass(frozen=True)
class Outline:
    steps: int
    resolved: Resolved
    """Its gradient_checkpointing may still be "auto"."""
    found: Located

    @property
    def store(self) -> RunStore:
        return self.found.store


def outlined(request: TrainRequest) -> Outline:
    """Raises DanluError for values that cannot work."""
    steps = checked_steps(request.steps)
    lora = request.start.config(request.lora) if request.start else request.lora
    check(lora)
    check(request.training)
    if steps == -1:
        steps = auto_steps(request.training, request.data)
    found = located(request)
    _check_order(request, found.parent, steps)
    prediction = request.model.prediction
    resolved = resolve(
        request.model.family,
        prediction is Prediction.FLOW,
        lora,
        request.training,
        _horizon(request, found.parent, steps),
        bool(request.data.regularisation),
        request.model.shift,
    )
    resolved = as_made(resolved, found.store)
    check_together(resolved.training, request.data, prediction)
    remarked = remarks(resolved.training, request.data, prediction, steps)
    unread = idle(request.training, resolved.training, resolved.lora, request.data)
    # A run that exists was told some of it when it was made.
    told = tuple(dict.fromkeys((*resolved.choices, *found.notes, *remarked, *unread)))
    return Outline(steps, replace(resolved, choices=told), found)


def _horizon(request: TrainRequest, parent: Parent | None, steps: int) -> int:
    """Steps that a schedule is laid over."""
    whole = max(steps, request.horizon)
    return whole - parent.step if parent and not parent.optimizer else whole


def _check_order(request: TrainRequest, parent: Parent | None, steps: int) -> None:
    before = request.run.step if request.run else parent.step if parent else 0
    if steps < before or (parent and steps == before):
        why = "the wired run is" if request.run else f"the last run named {request.name} is"
        raise DanluError(
            f"steps is {steps:,}, but {why} at step {before:,} already: steps counts from the very beginning. "
            "Give more, or leave run and when_changed alone."
        )


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
