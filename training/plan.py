"""What a run would be, from one dry step: nothing is trained, nothing is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .config import LoRAConfig, TrainingConfig, as_dict, is_auto
from .data import Entry, TrainingData
from .disk import DiskNeeds, disk_needs
from .families import Resolved
from .loop import Trainer, largest_latent
from .measure import DryStep, dry_step, expected_activations
from .memory import Card, Needs, fits, needs
from .outline import describe, outlined
from .plan_layers import LayerGroup, left_out_layers, trained_layers
from .plan_verdict import Demand, Verdict, judged
from .reporter import Reporter
from .request import TrainRequest
from .run import trainer_for
from .settle import settled
from .shortage import is_out_of_memory
from .text import TrainedText


@dataclass(frozen=True)
class Plan:
    summary: str
    steps: int
    done: bool
    """Whether the disk holds this run at this step."""
    resolved: Resolved
    given: tuple[str, ...]
    """Values that the user's configs set."""
    trained: list[LayerGroup]
    left_out: list[LayerGroup]
    card: Card
    needs: Needs
    """As configured."""
    measured: bool
    """Activations come from a whole step; else they are foretold, since that would not fit."""
    seconds_per_step: float | None
    """None where a step would not fit."""
    disk: DiskNeeds
    verdict: Verdict


def make_plan(request: TrainRequest, reporter: Reporter) -> Plan:
    """Raises DanluError for what training would refuse too: bad values, patterns that match nothing."""
    outline = outlined(request)
    summary = describe(request.data, outline.resolved.training, outline.steps)
    reporter.text(summary)
    adapters, trainer = trainer_for(request, outline, reporter)
    card = request.model.card()
    resolved, activations = settled(outline.resolved, trainer)
    trainer = replace(trainer, config=resolved.training, activations=activations)
    step, demand = _demand(trainer, card)
    needed = demand.needs()
    return Plan(
        summary=summary,
        steps=outline.steps,
        done=outline.store.reached(outline.steps) is not None,
        resolved=resolved,
        given=_given(request.lora) + _given(request.training),
        trained=trained_layers(request.model.network, adapters.network) + _of_text_encoder(adapters.text),
        left_out=left_out_layers(request.model.network, adapters.network),
        card=card,
        needs=needed,
        measured=step is not None,
        seconds_per_step=step.seconds * _mean_area(request.data) if step else None,
        disk=disk_needs(
            needed, resolved.lora.algorithm, outline.steps, request.save_every, request.keep_last, request.runs_folder
        ),
        verdict=judged(card, demand),
    )


def _given(config: LoRAConfig | TrainingConfig) -> tuple[str, ...]:
    return tuple(f"{name} {value}" for name, value in as_dict(config).items() if value != "" and not is_auto(value))


def _of_text_encoder(text: TrainedText | None) -> list[LayerGroup]:
    if text is None:
        return []
    return [replace(group, block="text encoder") for group in trained_layers(text.model.network, text.adapters)]


def _demand(trainer: Trainer, card: Card) -> tuple[DryStep | None, Demand]:
    """The dry step, where there is room for it, and what the run asks for."""
    mode, foretold = trainer.config.gradient_checkpointing, trainer.activations
    if foretold is None:
        foretold = expected_activations(trainer, mode)
    step = _tried(replace(trainer, activations=foretold), card, foretold)
    kept = recomputed = step.peak if step else foretold
    if mode != "on" and not fits(card, needs(trainer.parameters, trainer.config, kept)):
        recomputed = expected_activations(trainer, "on")
    side = max(max(entry.target_size) for entry in trainer.data.trained)
    return step, Demand(trainer.parameters, trainer.config, kept, recomputed, side)


def _tried(trainer: Trainer, card: Card, foretold: int) -> DryStep | None:
    taken = needs(trainer.parameters, trainer.config, foretold).total + (0 if card.offloads else card.base)
    if taken > card.available:
        return None
    try:
        return dry_step(trainer)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None


def _mean_area(data: TrainingData) -> float:
    """Of the latents that the steps of a run see, as a part of the largest."""
    area = {entry.bucket: _area([entry], data) for entry in data.trained}
    seen = sum(area[entry.bucket] * entry.repeats for entry in data.trained)
    return seen / data.samples_per_epoch / max(area.values())


def _area(entries: Sequence[Entry], data: TrainingData) -> int:
    return math.prod(largest_latent(entries, data))
