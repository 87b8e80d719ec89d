"""A batch is one call of the network with a row each; its gradient is the mean of its rows'."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from danlu.errors import DanluError
from danlu.host.model import HostModel
from danlu.training.checkpointing import mutation_allowed
from danlu.training.data import Conditioning, TrainingData
from danlu.training.loop import Batch, Trainer

from .support import (
    HELD,
    Base,
    MemoryCache,
    Recorder,
    gradients,
    largest_difference,
    make_trainer,
    record,
    tensors_of,
    training_data,
)

Call = dict[str, Any]


def calls_of(base: Base, trainer: Trainer) -> tuple[list[Call], Recorder]:
    """What reached `diffusion_model.forward` in one step, and what the trainer asked for."""
    calls: list[Call] = []

    def note(_module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append({"x": args[0], "timestep": args[1], **kwargs})

    handle = base.network.register_forward_pre_hook(note, with_kwargs=True)
    try:
        return calls, record(trainer)
    finally:
        handle.remove()


def test_four_rows_are_one_call_with_their_own_captions(base: Base) -> None:
    # With checkpointing no first attempt is thrown away on Flux.
    trainer = make_trainer(base, batch_size=4, gradient_checkpointing="on", **HELD)
    (call,), recorder = calls_of(base, trainer)
    (batch,) = recorder.batches
    assert len({row.text.cross_attn.sum().item() for row in batch.rows}) == 4
    assert torch.equal(call["context"], torch.cat([row.text.cross_attn for row in batch.rows]))
    if base.kind == "flux":
        assert torch.equal(call["y"], torch.cat([row.text.extras["pooled_output"] for row in batch.rows]))


def test_inputs_are_what_the_hosts_sampling_says(base: Base) -> None:
    trainer = make_trainer(base, batch_size=4, gradient_checkpointing="on", **HELD)
    (call,), recorder = calls_of(base, trainer)
    (batch,) = recorder.batches
    sampling = base.patcher.model.model_sampling
    assert len(set(batch.sigma.tolist())) == 4
    noisy = sampling.noise_scaling(batch.sigma.view(-1, 1, 1, 1), batch.noise.clone(), batch.latent.clone())
    torch.testing.assert_close(call["x"], sampling.calculate_input(batch.sigma, noisy))
    assert torch.equal(call["timestep"], sampling.timestep(batch.sigma).float())


def test_flux_is_trained_at_guidance_one(flux_base: Base) -> None:
    calls, _ = calls_of(flux_base, make_trainer(flux_base, batch_size=3, **HELD))
    assert all(torch.equal(call["guidance"], torch.ones(3)) for call in calls)


def test_latents_are_scaled_as_the_host_does(base: Base) -> None:
    trainer = make_trainer(base, batch_size=4, **HELD)
    batch = record(trainer).batches[-1]
    raw = [trainer.data.latent(entry)[None] for entry in trainer.data.entries]
    scaled = base.patcher.model.process_latent_in(torch.cat(raw))
    assert not torch.equal(scaled, torch.cat(raw))
    as_set = {row.numpy().tobytes() for row in scaled}
    assert {row.numpy().tobytes() for row in batch.latent} == as_set


def summed_rows(trainer: Trainer, batches: list[Batch]) -> dict[str, Tensor]:
    """Gradients of the mean loss, one forward and backward pass a row."""
    rows = sum(len(batch.rows) for batch in batches)
    for parameter in trainer.parameters:
        parameter.grad = None
    for batch in batches:
        for i in range(len(batch.rows)):
            with mutation_allowed():
                (trainer.loss(batch.select([i])) / rows).backward()
    parameters = tensors_of(trainer.adapters).items()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in parameters}


def rows_against_batch(trainer: Trainer, dead: Collection[str] = ()) -> tuple[float, list[Batch]]:
    """How far a batch is from its rows, and the forward passes that it took."""
    differences: list[float] = []

    def compare(recorder: Recorder) -> None:
        passes.extend(recorder.batches)
        differences.append(largest_difference(recorder.gradients, summed_rows(trainer, passes)))

    passes: list[Batch] = []
    record(trainer, compare, dead)
    return differences[0], passes


def test_a_batch_is_the_mean_of_its_rows(base: Base) -> None:
    difference, passes = rows_against_batch(make_trainer(base, batch_size=4, gradient_checkpointing="on", **HELD))
    assert [len(batch.rows) for batch in passes] == [4]
    assert difference < 1e-4


def mixed(base: Base, tokens: Callable[[str], int]) -> TrainingData:
    return training_data(base.channels, tokens=tokens)


def by_number(*lengths: int) -> Callable[[str], int]:
    """Token counts of "a picture0", "a picture1", ..."""
    return lambda caption: lengths[int(caption[-1])] if caption else lengths[0]


@pytest.mark.parametrize(
    ("lengths", "passes"),
    [((5, 9, 5, 9), {"flux": [2, 2], "sd15-narrow": [2, 2]}), ((5, 5, 10, 5), {"flux": [1, 3], "sd15-narrow": [4]})],
    ids=["apart", "multiples"],
)
def test_texts_of_unequal_length(base: Base, lengths: tuple[int, ...], passes: dict[str, list[int]]) -> None:
    # The host repeats a short text for SD1.5 until it is as long as the other, which changes nothing there.
    data = mixed(base, by_number(*lengths))
    trainer = make_trainer(base, data=data, batch_size=4, gradient_checkpointing="on", **HELD)
    difference, found = rows_against_batch(trainer)
    assert sorted(len(batch.rows) for batch in found) == passes[base.kind]
    assert difference < 1e-4


def test_groups_hold_every_row_once(base: Base) -> None:
    data = mixed(base, by_number(5, 9, 5, 11))
    batch = record(make_trainer(base, data=data, batch_size=4, gradient_checkpointing="on", **HELD)).batches
    model = HostModel(base.patcher)
    rows = [row for part in batch for row in part.rows]
    groups = model.groups(rows, torch.Size((4, base.channels, 4, 4)))
    assert sorted(i for group in groups for i in group) == [0, 1, 2, 3]
    assert all(len({rows[i].text.cross_attn.shape for i in group}) == 1 for group in groups)


class InferenceCache(MemoryCache):
    """Hands out tensors as the host's own nodes make them."""

    def latent(self, key: str) -> Tensor:
        with torch.inference_mode():
            return super().latent(key) * 1.0

    def conditioning(self, caption: str) -> Conditioning:
        with torch.inference_mode():
            made = super().conditioning(caption)
            return Conditioning(made.cross_attn * 1.0, {name: value * 1.0 for name, value in made.extras.items()})


def test_inputs_made_in_inference_mode(base: Base) -> None:
    data = training_data(base.channels)
    assert isinstance(data.cache, MemoryCache)
    made = replace(data, cache=InferenceCache(data.cache.latent_shape, data.cache.tokens))
    assert made.latent(made.entries[0]).is_inference()
    lora = {"targets": "all-linear"}
    found = gradients(make_trainer(base, lora, made, batch_size=2, **HELD))
    expected = gradients(make_trainer(base, lora, data, batch_size=2, **HELD))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_data_of_another_model_is_refused(flux_base: Base, sd15_base: Base) -> None:
    model = HostModel(flux_base.patcher)
    model.check_fits(training_data(flux_base.channels))
    with pytest.raises(DanluError, match="latents of 4 channels, but the model works on 16"):
        model.check_fits(training_data(sd15_base.channels))
