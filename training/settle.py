"""What is left to the memory rules, settled once: when a run is created."""

from __future__ import annotations

from dataclasses import replace

from .config import is_auto
from .families import Resolved
from .loop import Trainer
from .measure import choose_checkpointing, expected_activations
from .store import RunStore


def settled(resolved: Resolved, trainer: Trainer, store: RunStore) -> tuple[Resolved, int | None]:
    """`resolved` with nothing left on auto, and the bytes of a step's activations where they had to be known.

    `trainer`: with the run's adapters, not yet running.
    """
    if is_auto(as_made(resolved, store).training.gradient_checkpointing):
        choice = choose_checkpointing(trainer)
        return _with(resolved, choice.checkpointing, choice.reason), choice.activations
    resolved = as_made(resolved, store)
    if trainer.model.device.type == "cpu":
        # Nothing is reserved there: the host moves no model out of the way.
        return resolved, None
    return resolved, expected_activations(trainer, resolved.training.gradient_checkpointing)


def as_made(resolved: Resolved, store: RunStore) -> Resolved:
    """With what was settled when the run was created; unchanged where it has not been, or nothing is left open."""
    if not is_auto(resolved.training.gradient_checkpointing) or not store.manifest_path.exists():
        return resolved
    kept = store.manifest()["training"]["gradient_checkpointing"]
    return _with(resolved, kept, f"gradient_checkpointing {kept}: as when the run was created")


def _with(resolved: Resolved, checkpointing: str, reason: str) -> Resolved:
    training = replace(resolved.training, gradient_checkpointing=checkpointing)
    return replace(resolved, training=training, choices=(*resolved.choices, reason))
