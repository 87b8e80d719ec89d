"""Prior preservation on the host's models: the base answers as if nothing was attached."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from danlu.training.data import TrainingData
from danlu.training.loop import StepLog

from .support import HELD, Base, make_trainer, run, training_data


def with_classes(base: Base) -> TrainingData:
    data = training_data(base.channels)
    return replace(data, entries=tuple(replace(e, class_captions=(f"{e.name}, the class",)) for e in data.entries))


def prior_loss(base: Base, **settings: Any) -> float:
    log: list[StepLog] = []
    made = make_trainer(
        base, data=with_classes(base), on_step=log.append, batch_size=2, prior_preservation=1.0, **HELD, **settings
    )
    run(made)
    return log[0].prior_loss


def test_a_lora_that_does_nothing_moves_nothing(any_base: Base) -> None:
    for checkpointing in ("off", "on"):
        assert prior_loss(any_base, random_adapters=False, gradient_checkpointing=checkpointing) == 0.0


def test_one_that_does_is_seen(any_base: Base) -> None:
    assert prior_loss(any_base) > 1e-6
