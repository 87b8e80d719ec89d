"""Measuring checkpoints: the numbers are what they say, and training does not notice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from danlu.training.data import TrainingData
from danlu.training.held_out import with_validation
from danlu.training.loop import StepLog, Trainer
from danlu.training.objective import Prediction, add_noise, clean_latent, target
from danlu.training.trained import Trained
from danlu.training.validation import LEVELS, Probes, Validator, cost

from .toys import ToyModel, entry, settings, training_data


def data(count: int = 24, **others: Any) -> TrainingData:
    found = with_validation(training_data(count), "auto")
    classes = tuple(replace(e, class_captions=(f"{e.captions[0]}, plain",)) for e in found.entries)
    return replace(found, entries=classes, **others)


def trainer(found: TrainingData, model: ToyModel | None = None, steps: int = 0, **lora: Any) -> Trainer:
    """After `steps` steps."""
    resolved = settings(lora)
    model = model or ToyModel()
    adapters = Trained.create(model, resolved.lora, 0, resolved.lora).network
    made = Trainer(model, found, adapters, resolved.training, 0)
    if steps:
        made.run(steps)
    return made


def measured(made: Trainer) -> Any:
    with made.lent():
        validator = Validator(made)
        return validator.base(), validator.measure(1)


def test_an_untrained_lora_is_the_base() -> None:
    base, measure = measured(trainer(data()))
    assert measure.held_out == pytest.approx(base.held_out) and measure.trained == pytest.approx(base.trained)
    assert measure.effect == 0 and measure.leak is None and measure.response == pytest.approx(1.0)
    assert measure.images == (2, 2) and len(measure.held_out) == len(LEVELS)


def test_training_shows_in_every_measure() -> None:
    base, measure = measured(trainer(data(), steps=60))
    assert sum(measure.trained) < sum(base.trained)
    assert measure.held_out != base.held_out
    assert measure.effect > 0.05 and measure.leak > 0.05
    assert measure.response != pytest.approx(1.0, abs=1e-3)
    assert measure.nearest != pytest.approx(base.nearest, abs=1e-4)


def test_the_same_noise_whatever_the_seed_of_the_run() -> None:
    first = trainer(data())
    other = Trainer(first.model, first.data, first.adapters, first.config, seed=99)
    assert measured(first)[0] == measured(other)[0]


def test_a_loss_is_the_loss_of_training() -> None:
    made = trainer(data())
    held = Probes.of(made.data).held_out[0]
    with made.lent(), torch.no_grad():
        batch = made.rows.fixed(held, held.captions[0], LEVELS[1], "validation", held.image_key, str(LEVELS[1]))
        expected = made.loss(batch)
        own = Validator(made)._losses((held,))
    assert own[1] == pytest.approx(float(expected))
    assert float(batch.sigma) == pytest.approx(made.rows.timesteps.place(LEVELS[1], 16))


@pytest.mark.parametrize("lora", [{"dropout": 0.5}, {}], ids=["dropout", "plain"])
def test_training_does_not_notice(lora: dict[str, Any]) -> None:
    def trained(measure: bool) -> dict[str, Tensor]:
        made = trainer(data(), **lora)

        def look(log: StepLog) -> None:
            Validator(made).base()
            Validator(made).measure(log.step)

        if measure:
            made.on_step = look
        before = torch.get_rng_state()
        made.run(6)
        assert torch.equal(before, torch.get_rng_state())
        return made.adapters.training_state()

    plain, watched = trained(False), trained(True)
    assert all(torch.equal(plain[key], watched[key]) for key in plain)


def test_dropout_is_no_part_of_it() -> None:
    made = trainer(data(), steps=5, dropout=0.5)
    assert measured(made)[1] == measured(made)[1]


def test_memorising_shows_as_the_nearest_trained_picture() -> None:
    """A model that answers with a trained picture whatever it is asked."""
    made = trainer(data())
    known = Probes.of(made.data).trained[0]
    latent = made.model.prepare_latent(made.data.latent(known)[None])
    own: dict[str, Tensor] = {}

    def predict(noisy: Tensor, sigma: Tensor, rows: Any) -> Tensor:
        return (noisy - own.get("drawn", latent)) / sigma.view(-1, 1, 1, 1)

    made.model.predict = predict  # type: ignore[method-assign]
    with made.lent():
        assert Validator(made).measure(1).nearest == pytest.approx(0.0, abs=1e-3)
        (held, *_), validator = Probes.of(made.data).held_out, Validator(made)
        validator.probes = replace(validator.probes, held_out=(held,))
        own["drawn"] = made.model.prepare_latent(made.data.latent(held)[None])
        assert (validator.measure(1).nearest or 0.0) > 100


def test_regularisation_pictures_say_what_leaks() -> None:
    found = data()
    others = tuple(replace(entry(f"other{i}"), role="regularisation") for i in range(6))
    with_them = replace(found, entries=(*found.entries, *others))
    assert [e.role for e, _ in Probes.of(with_them).plain] == ["regularisation"] * 4
    assert [text for _, text in Probes.of(found).plain] == [e.class_captions[0] for e in Probes.of(found).held_out]
    bare = replace(found, entries=tuple(replace(e, class_captions=()) for e in found.entries))
    assert measured(trainer(bare, steps=3))[1].leak is None


def test_captions_are_swapped_for_others() -> None:
    for held, other in Probes.of(data()).swapped:
        assert other != held.captions[0]
    same = replace(data(), entries=tuple(replace(e, captions=("one",)) for e in data().entries))
    assert Probes.of(same).swapped == () and measured(trainer(same, steps=3))[1].response is None


def test_few_pictures_are_measured_without_held_out_ones() -> None:
    base, measure = measured(trainer(data(6), steps=3))
    assert base.held_out == () == measure.held_out and measure.images == (0, 4) and measure.nearest is None


@pytest.mark.parametrize("count", [6, 24, 100])
def test_the_cost_is_what_is_told(count: int) -> None:
    model = ToyModel()
    made = trainer(data(count), model)
    with made.lent():
        validator = Validator(made)
        validator.base(), validator.measure(1)
        model.calls.clear()
        validator.measure(2)
    assert len(model.calls) == Probes.of(made.data).passes
    assert f"{len(model.calls)} more forward passes" in cost(made.data)


@pytest.mark.parametrize("kind", list(Prediction))
def test_the_clean_latent_of_a_right_answer_is_the_latent(kind: Prediction) -> None:
    latent, noise = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.ones(2, 3, 4, 4)
    sigma = torch.tensor([0.3, 0.9])
    answer = target(kind, latent, noise, sigma)
    assert torch.allclose(clean_latent(kind, add_noise(kind, latent, noise, sigma), answer, sigma), latent, atol=1e-5)
