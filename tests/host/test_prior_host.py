"""Prior preservation on the host's models: the base answers as if nothing was attached."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from danlu.training.data import TrainingData
from danlu.training.loop import StepLog

from .support import HELD, Base, MemoryCache, entry, make_trainer, run, seeded, training_data


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
        assert prior_loss(any_base, random_adapters=False, gradient_checkpointing=checkpointing) < 1e-9


def test_one_that_does_is_seen(any_base: Base) -> None:
    assert prior_loss(any_base) > 1e-6


class TwoSizes(MemoryCache):
    """Regularisation pictures are wider."""

    def latent(self, key: str) -> Tensor:
        shape = (self.latent_shape[0], 4, 8) if "wide" in key else self.latent_shape
        return seeded(key, *shape)


def test_regularisation_pictures_of_another_size(base: Base) -> None:
    data = training_data(base.channels)
    wide = replace(entry("wide"), role="regularisation", target_size=(32, 64))
    cache = TwoSizes((base.channels, 4, 4), lambda _caption: 5)
    data = replace(data, entries=(*data.entries, wide), cache=cache)
    log: list[StepLog] = []
    run(make_trainer(base, data=data, on_step=log.append, batch_size=2, prior_preservation=1.0, **HELD))
    assert log[0].prior_loss > 1e-6
