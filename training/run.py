"""Training a LoRA from start to finished file: what a train node calls."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from .config import as_dict
from .disk import DiskError, check_disk, checkpoint_interval, disk_needs
from .facts import checkpoint_facts
from .families import Resolved
from .feedback import Feedback
from .judging import Judging, outcome
from .keeping import Keeper
from .loop import Start, Trainer
from .memory import needs
from .outline import Outline, describe, outlined
from .reporter import Reporter, RunReport
from .request import TrainRequest, pictures_of
from .runs.locate import adopt
from .runs.session import session
from .runs.store import LoraModel, RunHandle, RunStore
from .settle import as_made, settled
from .trained import Trained
from .watch import Diverged

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    lora: LoraModel
    handle: RunHandle
    losses: list[float]
    resolved: Resolved
    summary: str


def train_lora(request: TrainRequest, reporter: Reporter) -> TrainResult:
    """Trains, goes on with what is on disk, or answers from there when this very run has reached the step before.

    The step of the result is below the one asked for where the user ended the run (`Command.FINISH`).
    """
    outline = outlined(request)
    store = outline.store
    if request.training.early_stop < 1:
        store.forget_early_stop()
    summary = _summary(request, outline)
    reporter.began(RunReport(store.id, request.name, _goal(request, outline), store.exists))
    try:
        reporter.text("\n".join((summary, *outline.found.notes)))
        reached = store.reached(outline.steps) or _train(request, outline, reporter)
    finally:
        reporter.ended()
    with _writing(store):
        store.hand_out(reached)
        store.use_as(request.name)
    handle = RunHandle(store.folder, reached, request.name)
    lora = LoraModel(store.load_checkpoint(reached)[0], handle)
    told = "\n".join((summary, *outcome(store, reached, outline.steps)))
    return TrainResult(lora, handle, store.losses(reached), as_made(outline.resolved, store), told)


def _goal(request: TrainRequest, outline: Outline) -> int:
    """The step up to which the run is trained: by this request, or by the loop that it is a part of."""
    return max(outline.steps, request.horizon)


def _summary(request: TrainRequest, outline: Outline) -> str:
    return describe(request.data, outline.resolved.training, _goal(request, outline))


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


def _train(request: TrainRequest, outline: Outline, reporter: Reporter) -> int:
    """The step that it ended at, which has a checkpoint and a state."""
    steps = outline.steps
    adapters, trainer = trainer_for(request, outline, reporter)
    needed = needs(adapters.parameters(), trainer.config, activations=0)
    algorithm = outline.resolved.lora.algorithm
    room = disk_needs(
        needed, algorithm, steps, request.save_every, request.keep_last, request.runs_folder, outline.store.size()
    )
    check_disk(room)
    reporter.text("\n".join((_summary(request, outline), room.told(), *outline.found.notes)))
    with outline.store.locked(reporter):
        # Whoever held the lock may have trained it meanwhile.
        return outline.store.reached(steps) or _in_session(request, outline, adapters, trainer)


def _in_session(request: TrainRequest, outline: Outline, adapters: Trained, trainer: Trainer) -> int:
    whole = _goal(request, outline)
    with ExitStack() as stack:
        with _writing(outline.store):
            noted = session(outline.store.folder, request.origin, whole, request.data.image_count)
            stack.enter_context(noted)
        return _train_locked(request, outline, adapters, trainer)


def _train_locked(request: TrainRequest, outline: Outline, adapters: Trained, trainer: Trainer) -> int:
    steps, store = outline.steps, outline.store
    resolved, activations = settled(outline.resolved, trainer)
    if store.exists:
        # Another process may have made it since this one looked: what it was made with counts.
        resolved = replace(as_made(resolved, store), choices=resolved.choices)
    else:
        with _writing(store):
            _create(request, outline, resolved, adapters)
    start = _start(store, steps)
    log.info("%d adapters of rank %d; %s", len(adapters.stems()), resolved.lora.rank, "; ".join(resolved.choices))
    begin = start.state["step"] if start else 0
    past = store.losses(begin)
    running = replace(trainer, config=resolved.training, activations=activations, past_losses=past)
    judging = Judging(store, running, request.training.early_stop) if request.training.validation != "off" else None
    keeper = Keeper(
        store,
        running,
        adapters.state_dict,
        lambda step: checkpoint_facts(request, resolved, step),
        checkpoint_interval(request.save_every, steps),
        request.keep_last,
        steps,
        judging,
    )
    feedback = Feedback(store, begin)
    running.on_step = feedback.after(keeper.step)
    running.on_save, running.on_stop = keeper.checkpoint, keeper.save_state
    try:
        ended = running.run(steps, start)
    except Diverged as error:
        store.states.forget_suspicious(store.pinned())
        raise Diverged(f"{error} {_last_good(store, keeper.good)}") from error
    finally:
        feedback.close()
    if ended < steps:
        with _writing(store):
            store.finish(ended, steps, early=judging is not None and judging.stopped)
    return ended


@contextmanager
def _writing(store: RunStore) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskError(
            f"The run could not be written to {store.folder}: {error}. Free some space, or make the folder writable "
            "again, and queue once more: what was trained until now is kept."
        ) from error


def _create(request: TrainRequest, outline: Outline, resolved: Resolved, adapters: Trained) -> None:
    parent = outline.found.parent
    if parent:
        adopt(outline.store, parent)
    outline.store.create(
        _manifest(outline, resolved), pictures_of(request.data), request.model.file_names(adapters.stems())
    )
    outline.store.use_as(request.name)
    for note in outline.found.notes if parent else ():
        outline.store.log.note(parent.step if parent else 0, note)


def _manifest(outline: Outline, resolved: Resolved) -> dict[str, Any]:
    manifest: dict[str, Any] = {
        "format": 2,
        "identity": outline.found.identity,
        "lora": as_dict(resolved.lora),
        "training": as_dict(resolved.training),
        "choices": [choice for choice in resolved.choices if choice not in outline.found.notes],
    }
    if outline.found.parent:
        manifest["parent"] = outline.found.parent.as_json()
    return manifest


def _start(store: RunStore, steps: int) -> Start | None:
    """The newest state on the way to `steps`."""
    state = store.states.newest(steps)
    if state is None:
        return None
    manifest = store.manifest()
    parent = manifest.get("parent")
    if parent is None or state["step"] != parent["step"]:
        return Start(state)
    return Start(state, exact=False, optimizer=parent["optimizer"])


def _last_good(store: RunStore, steps: list[int]) -> str:
    if not steps:
        return "Nothing was saved before that."
    return f"What was learned up to step {steps[-1]} is kept: {store.checkpoint_path(steps[-1])}."
