"""Which run on disk a request is about: one that exists, a new one, or one that grows out of another."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import DanluError
from ..request import CONTINUE, TrainRequest, identity, pictures_of
from .changes import differences
from .store import RunStore, all_runs, run_id


@dataclass(frozen=True)
class Parent:
    """Where a run begins that does not begin at nothing."""

    store: RunStore
    step: int
    optimizer: bool
    """Whether the state of its optimizer goes on too."""

    def as_json(self) -> dict[str, Any]:
        return {"run": self.store.id, "step": self.step, "optimizer": self.optimizer}


@dataclass(frozen=True)
class Located:
    store: RunStore
    identity: dict[str, Any]
    parent: Parent | None = None
    notes: tuple[str, ...] = ()
    """What the user should know of it before the first step."""


def located(request: TrainRequest) -> Located:
    """Raises DanluError where going on cannot be meant."""
    parts = identity(request)
    if request.run is not None:
        return _after(request, RunStore(request.run.folder), request.run.step, parts)
    plain = RunStore(request.runs_folder / run_id(parts))
    last = _last_of_name(request)
    if last is None or (plain.exists and request.when_changed != CONTINUE):
        return Located(plain, parts)
    changed = _changes(last, request, parts)
    if not changed:
        return Located(last if request.when_changed == CONTINUE else plain, parts)
    told = f"Compared with the last run named {request.name}: {'; '.join(changed)}."
    if request.when_changed != CONTINUE:
        return Located(plain, parts, notes=(f"{told} This is a new run (when_changed).",))
    steps = last.states.steps()
    if not steps:
        return Located(plain, parts, notes=(f"{told} It kept no state to go on from: this is a new run.",))
    parent = Parent(last, steps[-1], optimizer=True)
    return _child(request, parent, parts, f"{told} It goes on from step {parent.step:,}.")


def _after(request: TrainRequest, given: RunStore, step: int, parts: dict[str, Any]) -> Located:
    if not given.exists:
        raise DanluError(f"run: {given.folder} is gone. Queue the node that made it again.")
    changed = _changes(given, request, parts)
    if not changed:
        return Located(given, parts)
    told = f"Another run than the one that is wired: {'; '.join(changed)}."
    parent = Parent(given, step, optimizer=False)
    return _child(request, parent, parts, f"{told} It starts from its LoRA at step {step:,}, with a fresh optimizer.")


def _child(request: TrainRequest, parent: Parent, parts: dict[str, Any], note: str) -> Located:
    store = RunStore(request.runs_folder / run_id({**parts, "parent": parent.as_json()}))
    return Located(store, parts, parent, (note,))


def _last_of_name(request: TrainRequest) -> RunStore | None:
    stores = (store for store in all_runs(request.runs_folder) if store.name()[0] == request.name)
    return next((store for store in stores if _is_known(store)), None)


def _is_known(store: RunStore) -> bool:
    """Whether it can be told what the run is: it is neither damaged nor of a version before this layout."""
    try:
        return isinstance(store.manifest()["identity"], dict) and isinstance(store.dataset(), dict)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _changes(store: RunStore, request: TrainRequest, parts: dict[str, Any]) -> tuple[str, ...]:
    before = store.manifest()["identity"]
    if before == parts:
        return ()
    return differences(before, parts, store.dataset(), pictures_of(request.data)) or ("what it was made with",)


def adopt(store: RunStore, parent: Parent) -> None:
    """Gives a new run what its parent had reached: checkpoints, log and the state it begins with."""
    source = parent.store.states.path(parent.step)
    if not source.exists():
        raise DanluError(
            f"The run {parent.store.id} has no state of step {parent.step:,} any more to start from. Save its LoRA "
            "(Save LoRA), choose that file as start_lora, and leave run unwired."
        )
    for name in ("checkpoints", "states"):
        (store.folder / name).mkdir(parents=True, exist_ok=True)
    for checkpoint in parent.store.checkpoints():
        if checkpoint.step <= parent.step:
            _shared(checkpoint.path, store.checkpoint_path(checkpoint.step))
    _shared(source, store.states.path(parent.step))
    store.log.path.unlink(missing_ok=True)
    for line in parent.store.log.steps(parent.step):
        store.log.append(line)


def _shared(source: Path, goal: Path) -> None:
    """The same file under another name where the disk can do that: neither is ever changed in place."""
    goal.unlink(missing_ok=True)
    try:
        os.link(source, goal)
    except OSError:
        shutil.copyfile(source, goal)
