"""Prior preservation: the model stays as it was where the subject is not asked for."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from danlu.errors import DanluError
from danlu.training.data import Entry, TrainingData
from danlu.training.objective import add_noise
from danlu.training.outline import describe

from .test_loop import Log, run, same, trainer
from .toys import ToyModel, entry, settings, training_data


def subjects(count: int = 4, **others: Any) -> tuple[Entry, ...]:
    return tuple(
        replace(entry(f"p{i}", captions=(f"dantong {i}",), **others), class_captions=(f"a boy {i}",))
        for i in range(count)
    )


def regularisation(count: int = 3, **others: Any) -> tuple[Entry, ...]:
    return tuple(
        replace(entry(f"reg{i}", captions=(f"some boy {i}",), **others), role="regularisation") for i in range(count)
    )


def answers(model: ToyModel, made: Any, caption: str) -> Tensor:
    """The network's answers to one caption on noisy pictures of the training data, at noise that it never saw."""
    rng = torch.Generator().manual_seed(5)
    latent = torch.stack([model.prepare_latent(made.data.latent(e)) for e in made.data.entries for _ in range(8)])
    noise, sigma = torch.randn(latent.shape, generator=rng), torch.rand(len(latent), generator=rng)
    noisy = add_noise(model.prediction, latent, noise, sigma)
    text = made.data.cache.conditioning(caption).cross_attn.expand(len(latent), -1, -1)
    with torch.no_grad(), made.adapters.attached(model.network):
        return model.network(noisy, sigma, text)


def effect(made: Any, model: ToyModel, captions: list[str]) -> float:
    """How far the LoRA moves the answers to `captions`, root mean square."""
    made.adapters.train(False)
    moved = []
    for caption in captions:
        with made.adapters.silent():
            before = answers(model, made, caption)
        moved.append((answers(model, made, caption) - before).pow(2).mean().sqrt())
    return float(torch.stack(moved).mean())


def trained(entries: tuple[Entry, ...], steps: int = 150, **settings: Any) -> tuple[Any, ToyModel, Log]:
    model = ToyModel()
    made, log = run(steps, model, training_data(tokens=lambda _caption: 1, entries=entries), batch_size=4, **settings)
    return made, model, log


SUBJECT, CLASS, OTHER = ([f"{word} {i}" for i in range(4)] for word in ("dantong", "a boy", "some boy"))


@cache
def effects(weight: float, regularised: bool = False) -> tuple[float, float, float]:
    """Of a LoRA trained at this weight, on captions of the subject, its class, and regularisation pictures."""
    entries = (*subjects(), *regularisation(4)) if regularised else subjects()
    made, model, _ = trained(entries, prior_preservation=weight)
    subject, kind, other = (effect(made, model, captions) for captions in (SUBJECT, CLASS, OTHER))
    return subject, kind, other


def test_the_class_stays_and_the_subject_is_learned() -> None:
    (free_subject, free_class, _), (subject, kind, _) = effects(0.0), effects(1.0)
    assert kind < 0.65 * free_class
    assert subject > 0.8 * free_subject


def test_regularisation_pictures_stay() -> None:
    assert effects(1.0, regularised=True)[2] < 0.75 * effects(0.0, regularised=True)[2]


def test_a_larger_weight_holds_tighter() -> None:
    assert effects(4.0)[1] < 0.85 * effects(1.0)[1]


def test_no_weight_no_rows_and_the_same_bits() -> None:
    plain, plain_model, _ = trained(tuple(replace(e, class_captions=()) for e in subjects()), steps=5)
    off, off_model, _ = trained((*subjects(), *regularisation()), steps=5, prior_preservation=0.0)
    assert same(plain, off)
    assert off_model.calls == plain_model.calls


@pytest.mark.parametrize(
    ("batch_size", "accumulation", "passes"),
    [
        (1, 1, [1, 2]),
        (4, 1, [1, 5]),
        (5, 1, [2, 7]),
        (2, 3, [1, 3, 2, 1, 3]),
        (1, 4, [1, 2, 1, 1, 1]),
    ],
)
def test_one_prior_row_for_four(batch_size: int, accumulation: int, passes: list[int]) -> None:
    """The base's answer first, then the prior rows in one pass with the others."""
    model = ToyModel()
    sizes = dict(batch_size=batch_size, gradient_accumulation=accumulation)
    run(2, model, training_data(entries=subjects()), prior_preservation=1.0, **sizes)
    assert [shape[0] for shape in model.calls][-len(passes) :] == passes


def gradients(**settings: Any) -> Tensor:
    found: list[Tensor] = []
    made = trainer(max_grad_norm=0.0, data=training_data(entries=subjects(1, repeats=4)), **settings)
    for parameter in made.parameters:
        parameter.data.add_(0.1)
    made.on_step = lambda _log: found.append(
        torch.cat([p.grad.flatten() for p in made.parameters if p.grad is not None])
    )
    made.run(1)
    return found[0]


def test_prior_rows_are_added_by_their_weight() -> None:
    """Linear in the weight, whether rows share a pass or not, and the same in one batch or several."""
    plain, half, whole = (gradients(batch_size=4, prior_preservation=weight) for weight in (0.0, 0.5, 1.0))
    assert not torch.allclose(plain, whole, rtol=1e-2)
    torch.testing.assert_close(half - plain, (whole - plain) / 2, rtol=1e-3, atol=1e-5)
    apart = gradients(batch_size=1, gradient_accumulation=4, prior_preservation=1.0)
    torch.testing.assert_close(apart, whole, rtol=1e-3, atol=1e-5)


def test_the_base_answers_without_the_lora() -> None:
    """At the first step the LoRA does nothing; later the prior rows tell how much it does."""
    _, _, log = trained(subjects(), steps=10, prior_preservation=1.0)
    assert log[0].prior_loss < 1e-10
    assert all(later.prior_loss > 1e-6 for later in log[1:])
    _, _, log = trained(subjects(), steps=2)
    assert [step.prior_loss for step in log] == [0.0, 0.0]


def test_the_loss_shown_is_that_of_the_pictures() -> None:
    with_prior, without = (trained(subjects(), steps=1, prior_preservation=w)[2][0] for w in (1.0, 0.0))
    assert with_prior.loss == pytest.approx(without.loss, rel=1e-5)


def texts_of(entries: tuple[Entry, ...], steps: int, **settings: Any) -> tuple[set[bytes], TrainingData]:
    """All texts that the model was asked with."""
    model, data = ToyModel(), training_data(entries=entries)
    asked: set[bytes] = set()
    predict = model.predict

    def note(noisy: Tensor, sigma: Tensor, rows: Any) -> Tensor:
        asked.update(row.text.cross_attn.numpy().tobytes() for row in rows)
        return predict(noisy, sigma, rows)

    model.predict = note  # type: ignore[method-assign]
    run(steps, model, data, **settings)
    return asked, data


def bytes_of(data: TrainingData, captions: list[str]) -> set[bytes]:
    return {data.cache.conditioning(caption).cross_attn.numpy().tobytes() for caption in captions}


def test_which_captions_are_preserved() -> None:
    asked, data = texts_of(subjects(), 8, prior_preservation=1.0)
    assert asked == bytes_of(data, SUBJECT + CLASS)
    asked, data = texts_of((*subjects(), *regularisation(4)), 8, prior_preservation=1.0)
    assert asked == bytes_of(data, SUBJECT + OTHER), "pictures made for it take the place of class captions"


def test_prior_rows_are_drawn_from_the_seed() -> None:
    entries = (*subjects(), *regularisation(size=(64, 32)))
    one, _, log = trained(entries, steps=6, prior_preservation=1.0)
    again, _, same_log = trained(entries[::-1], steps=6, prior_preservation=1.0)
    other, _, _ = trained(entries, steps=6, prior_preservation=1.0, seed=1)
    assert same(one, again) and log == same_log
    assert not same(one, other)


def test_regularisation_pictures_are_no_part_of_an_epoch() -> None:
    entries = (*subjects(), *regularisation(30))
    data = training_data(entries=entries)
    made = trainer(data=data, prior_preservation=1.0)
    assert made.plan.batches_per_epoch == 4
    assert {row.role for index in range(40) for row in made.plan.rows(index)} == {"train"}
    data = replace(data, image_count=4)
    assert describe(data, settings(batch_size=4).training, 10) == (
        "4 images × repeats 1, batch 4 → 10 steps = 10 epochs"
    )


def test_nothing_to_preserve_it_on() -> None:
    with pytest.raises(DanluError, match="prior_preservation.*trigger.*regularisation"):
        trainer(data=training_data(2), prior_preservation=1.0)


def test_silence_ends_with_its_context() -> None:
    made, model, _ = trained(subjects(), steps=3)
    loud = answers(model, made, "dantong 0")
    with pytest.raises(RuntimeError), made.adapters.silent():
        assert not torch.equal(answers(model, made, "dantong 0"), loud)
        raise RuntimeError
    assert torch.equal(answers(model, made, "dantong 0"), loud)


def test_with_checkpointing_the_same() -> None:
    off, _, log = trained(subjects(), steps=4, prior_preservation=1.0)
    on, _, same_log = trained(subjects(), steps=4, prior_preservation=1.0, gradient_checkpointing="on")
    assert [step.prior_loss for step in log] == pytest.approx([step.prior_loss for step in same_log], rel=1e-4)
