"""A row is a function of (seed, step, row), whatever is switched on, and a batch is its rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from danlu.training.data import Entry, TrainingData
from danlu.training.rows import Batch

from .test_loop import run, same, trainer
from .test_losses import MaskedCache
from .toys import entry, training_data

EVERYTHING: dict[str, Any] = {
    "timestep_sampling": "logit_normal",
    "timestep_shift": 2.0,
    "sigma_min": 0.05,
    "sigma_max": 0.95,
    "loss": "huber",
    "loss_weighting": "cosmap",
    "noise_offset": 0.1,
    "multires_noise": 0.2,
    "unmasked_weight": 0.2,
    "prior_preservation": 0.5,
    "caption_dropout": 0.3,
    "optimizer": "sgd",
    "optimizer_args": "momentum=0.9",
    "lora_plus_ratio": 4.0,
    "ema_decay": 0.9,
    "lr_scheduler": "cosine_with_restarts",
    "warmup_steps": 2,
}
LORA: dict[str, object] = {"dropout": 0.2, "per_block": "blocks.0: rank=2, lr=0.5"}


def rich(name: str, **others: Any) -> Entry:
    """With everything that an entry can have."""
    made = entry(name, captions=(f"dantong {name}", f"{name} dantong"), **others)
    return replace(
        made,
        flipped_latent_key=f"mirrored {name}",
        mask_key="mask",
        class_captions=(f"a boy {name}", f"{name} a boy"),
    )


def data() -> TrainingData:
    entries = (rich("a", repeats=3), rich("b"), rich("wide", size=(32, 64)), rich("wide too", size=(32, 64)))
    return replace(training_data(entries=entries), cache=MaskedCache(lambda _caption: 3))


def parts(batch: Batch) -> list[Tensor]:
    assert batch.mask is not None
    return [batch.latent, batch.noise, batch.sigma, batch.mask, *(row.text.cross_attn for row in batch.rows)]


def test_a_batch_is_its_rows() -> None:
    rows = trainer(data=data(), **EVERYTHING).rows
    entries = data().entries
    together = rows.batch(7, 3, entries)
    for i, made in enumerate(entries):
        alone = rows.row(made, 7, 3 + i)
        assert all(map(torch.equal, parts(together.select([i])), parts(alone)))


def test_seed_step_and_row_decide() -> None:
    def noise(seed: int, *place: int) -> Tensor:
        return trainer(data=data(), seed=seed, **EVERYTHING).rows.row(data().entries[0], *place).noise

    found = [noise(0, 1, 2), noise(1, 1, 2), noise(0, 2, 2), noise(0, 1, 3)]
    assert torch.equal(noise(0, 1, 2), found[0])
    assert len({tensor.numpy().tobytes() for tensor in found}) == 4


def test_the_same_seed_gives_the_same_bits_with_everything_on() -> None:
    one, log = run(6, data=data(), batch_size=2, gradient_accumulation=2, lora=LORA, **EVERYTHING)
    torch.rand(5)
    again, same_log = run(6, data=data(), batch_size=2, gradient_accumulation=2, lora=LORA, **EVERYTHING)
    other, _ = run(6, data=data(), batch_size=2, gradient_accumulation=2, lora=LORA, seed=1, **EVERYTHING)
    assert same(one, again) and log == same_log
    assert not same(one, other)


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_of_them_changes_the_run(name: str) -> None:
    """On top of all the others: what did nothing would go unseen among them."""
    without = {key: value for key, value in EVERYTHING.items() if key != name}
    if name == "optimizer":
        del without["optimizer_args"]
    one, other = (run(6, data=data(), batch_size=4, **options)[0] for options in (EVERYTHING, without))
    if name == "ema_decay":
        with one.weights_to_keep(), other.weights_to_keep():
            assert not same(one, other)
    else:
        assert not same(one, other)


def test_half_of_the_rows_are_mirrored() -> None:
    rows = trainer(data=data()).rows
    made = data().entries[0]
    plain, mirrored = (rows.model.prepare_latent(rows.data.latent(made, flip)[None]) for flip in (False, True))
    found = [rows.row(made, step, 0).latent for step in range(200)]
    count = sum(torch.equal(latent, mirrored) for latent in found)
    assert 70 < count < 130
    assert all(torch.equal(latent, mirrored) or torch.equal(latent, plain) for latent in found)


def test_without_mirrored_latents_none_is() -> None:
    rows = trainer(data=training_data(1)).rows
    made = rows.data.entries[0]
    assert len({rows.row(made, step, 0).latent.numpy().tobytes() for step in range(20)}) == 1


def test_every_resolution_is_trained() -> None:
    made = trainer(data=data(), batch_size=2)
    batches = [made.plan.rows(index) for index in range(made.plan.batches_per_epoch)]
    assert {batch[0].target_size for batch in batches} == {(32, 32), (32, 64)}
    shown = [row.name for batch in batches for row in batch]
    assert shown.count("a.png") == 3 * shown.count("wide.png")
