"""What is left to the memory rules, settled once: when a run is created."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from ..errors import DanluError
from .config import Config, is_auto
from .families import Resolved
from .loop import Trainer
from .measure import choose_checkpointing, expected_activations
from .runs.store import RunStore


def settled(resolved: Resolved, trainer: Trainer) -> tuple[Resolved, int | None]:
    """`resolved` with nothing left on auto, and the bytes of a step's activations where they had to be known.

    `trainer`: with the run's adapters, not yet running.
    """
    if is_auto(resolved.training.gradient_checkpointing):
        choice = choose_checkpointing(trainer)
        training = replace(resolved.training, gradient_checkpointing=choice.checkpointing)
        return replace(resolved, training=training, choices=(*resolved.choices, choice.reason)), choice.activations
    if trainer.model.device.type == "cpu":
        # Nothing is reserved there: the host moves no model out of the way.
        return resolved, None
    return resolved, expected_activations(trainer, resolved.training.gradient_checkpointing)


def as_made(resolved: Resolved, store: RunStore) -> Resolved:
    """The values that the run was created with; `resolved` where it does not exist yet.

    Only gradient checkpointing may be set anew: it changes memory and time.
    """
    if not store.exists:
        return resolved
    manifest = store.manifest()
    training = _kept(resolved.training, manifest["training"])
    if not is_auto(resolved.training.gradient_checkpointing):
        training = replace(training, gradient_checkpointing=resolved.training.gradient_checkpointing)
    return Resolved(_kept(resolved.lora, manifest["lora"]), training, tuple(manifest["choices"]))


def _kept(config: Config, values: dict[str, Any]) -> Config:
    known = {f.name for f in fields(config)}
    if unknown := sorted(values.keys() - known):
        raise DanluError(f"This run was created by a newer Danlu, which set {', '.join(unknown)}: update this one.")
    # An option that has come since leaves the run as it was at the value that does nothing, which auto resolves to.
    return replace(config, **values)
