"""Loss, weighting by noise level, noise and masks, each against its formula and in a run."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from danlu.errors import DanluError
from danlu.training.config import LOSS_WEIGHTINGS, LOSSES
from danlu.training.data import TrainingData
from danlu.training.losses import HUBER_C, Loss, element_loss, sigma_weight
from danlu.training.noise import draw_noise
from danlu.training.objective import Prediction
from danlu.training.rng import generator

from .test_loop import run, same, trainer
from .toys import SIDE, ToyCache, ToyModel, entry, seeded, settings, training_data

DIFFERENCES = torch.tensor([-2.0, -0.1, -0.05, 0.0, 0.05, 0.1, 2.0])
SIGMA = torch.tensor([0.1, 1.0, 10.0])


def formula(kind: str, d: float) -> float:
    size, c = abs(d), HUBER_C
    return {
        "mse": d * d,
        "l1": size,
        "huber": d * d if size < c else 2 * c * size - c * c,
        "smooth_l1": d * d / c if size < c else 2 * size - c,
    }[kind]


@pytest.mark.parametrize("kind", LOSSES[1:])
def test_element_losses(kind: str) -> None:
    found = element_loss(kind, DIFFERENCES, torch.zeros(7))
    assert found.tolist() == pytest.approx([formula(kind, d) for d in DIFFERENCES.tolist()])


@pytest.mark.parametrize(
    ("weighting", "prediction", "expected"),
    [
        ("min_snr", Prediction.EPS, [5 / 100, 1.0, 1.0]),
        ("min_snr", Prediction.V, [5 / 101, 1 / 2, 0.01 / 1.01]),
        ("debiased", Prediction.EPS, [0.1, 1.0, 10.0]),
        ("debiased", Prediction.V, [1 / 101, 1 / 2, 1 / 1.01]),
        ("none", Prediction.EPS, [1.0, 1.0, 1.0]),
    ],
)
def test_weights_of_noise_levels(weighting: str, prediction: Prediction, expected: list[float]) -> None:
    assert sigma_weight(weighting, prediction, 5.0, SIGMA).tolist() == pytest.approx(expected)


def test_gamma_bounds_the_signal() -> None:
    assert sigma_weight("min_snr", Prediction.EPS, 20.0, SIGMA)[0] == pytest.approx(20 / 100)


def test_weights_of_flow() -> None:
    sigma = torch.tensor([0.0, 0.1, 0.5, 1.0])
    square = sigma_weight("sigma_sqrt", Prediction.FLOW, 5.0, sigma)
    assert square.tolist() == pytest.approx([1e6, 100.0, 4.0, 1.0])
    cosmap = sigma_weight("cosmap", Prediction.FLOW, 5.0, sigma)
    assert cosmap.tolist() == pytest.approx([2 / math.pi / x for x in (1.0, 0.82, 0.5, 1.0)], rel=1e-2)


@pytest.mark.parametrize("weighting", LOSS_WEIGHTINGS[1:])
@pytest.mark.parametrize("prediction", Prediction)
def test_a_weighting_for_another_kind_of_model_is_refused(weighting: str, prediction: Prediction) -> None:
    fits = weighting == "none" or (weighting in ("sigma_sqrt", "cosmap")) == (prediction is Prediction.FLOW)
    config = settings(loss_weighting=weighting).training
    if fits:
        Loss.of(config, prediction)
    else:
        with pytest.raises(DanluError, match=f"loss_weighting {weighting} is not for .* Choose none"):
            Loss.of(config, prediction)


def eps_model() -> ToyModel:
    return ToyModel(prediction=Prediction.EPS, sigmas=torch.linspace(0.03, 1.0, 1000))


@pytest.mark.parametrize(
    ("flow", "option"),
    [
        (True, {"loss": "huber"}),
        (True, {"loss": "smooth_l1"}),
        (True, {"loss": "l1"}),
        (True, {"loss_weighting": "sigma_sqrt"}),
        (True, {"loss_weighting": "cosmap"}),
        (False, {"loss_weighting": "min_snr"}),
        (False, {"loss_weighting": "min_snr", "min_snr_gamma": 0.01}),
        (False, {"loss_weighting": "debiased"}),
        (True, {"noise_offset": 0.1}),
        (True, {"multires_noise": 0.3}),
    ],
)
def test_a_run_trains_with_it(flow: bool, option: dict[str, Any]) -> None:
    made, log = run(2, ToyModel() if flow else eps_model(), batch_size=4, **option)
    plain, plain_log = run(2, ToyModel() if flow else eps_model(), batch_size=4)
    assert not same(made, plain)
    assert [step.loss for step in log] != [step.loss for step in plain_log]


def test_the_loss_of_a_run_is_the_weighted_mean_of_its_rows() -> None:
    made = trainer(batch_size=3, loss="l1", loss_weighting="cosmap")
    with made.model.borrowed("fp32", 0):
        batch = made.rows.batch(1, 0, made.plan.rows(0))
        noisy = (1 - batch.sigma.view(-1, 1, 1, 1)) * batch.latent + batch.sigma.view(-1, 1, 1, 1) * batch.noise
        answer = made.model.predict(noisy, batch.sigma, batch.rows)
        rows = (answer - (batch.noise - batch.latent)).abs().flatten(1).mean(1)
        weight = 2 / (math.pi * (1 - 2 * batch.sigma + 2 * batch.sigma**2))
        assert float(made.loss(batch)) == pytest.approx(float((rows * weight).mean()), rel=1e-5)


def test_plain_noise_is_plain() -> None:
    noise = draw_noise((1, 4, 32, 32), settings().training, generator(1))
    assert torch.equal(noise, torch.randn((1, 4, 32, 32), generator=generator(1)))


def test_noise_offset_moves_whole_channels() -> None:
    config = settings(noise_offset=0.5).training
    plain = draw_noise((1, 4, 16, 16), settings().training, generator(1))
    moved = torch.cat([draw_noise((1, 4, 16, 16), config, generator(i)) for i in range(200)])
    shift = draw_noise((1, 4, 16, 16), config, generator(1)) - plain
    assert float(shift.flatten(2).std(2).max()) < 1e-6 < float(shift.abs().min())
    assert float(moved.mean((2, 3)).std()) == pytest.approx((0.5**2 + 1 / 256) ** 0.5, rel=0.1)


def test_noise_offset_of_a_clip_is_one_for_all_frames() -> None:
    rng = settings(noise_offset=0.5).training, settings().training
    made, plain = (draw_noise((1, 4, 3, 8, 8), config, generator(1)) for config in rng)
    assert float((made - plain).flatten(2).std(2).max()) < 1e-6


@pytest.mark.parametrize("shape", [(1, 4, 32, 32), (1, 4, 3, 16, 24)])
def test_multires_noise_has_more_at_low_frequencies(shape: tuple[int, ...]) -> None:
    def of_large_areas(discount: float) -> float:
        """Variance of means of 8 x 8, in units of plain noise's."""
        config = settings(multires_noise=discount).training
        noise = torch.cat([draw_noise(shape, config, generator(i)) for i in range(40)])
        assert float(noise.std()) == pytest.approx(1.0, abs=0.02)
        return 64.0 * float(torch.nn.functional.avg_pool2d(noise.flatten(0, -3), 8).var())

    plain, some, much = (of_large_areas(discount) for discount in (0.0, 0.3, 0.8))
    assert plain == pytest.approx(1.0, abs=0.1)
    assert 1.2 * plain < some < 0.7 * much


class MaskedCache(ToyCache):
    """The left half counts, where an entry has a mask."""

    def latent(self, key: str) -> Tensor:
        if key != "mask":
            return super().latent(key)
        return torch.cat([torch.ones(1, SIDE, SIDE // 2), torch.zeros(1, SIDE, SIDE // 2)], -1)


def masked_data(flip: bool = False) -> TrainingData:
    made = replace(entry("only"), mask_key="mask", flipped_latent_key="latent flipped" if flip else None)
    return replace(training_data(entries=(made,)), cache=MaskedCache(lambda _caption: 3))


def test_a_mask_leaves_out_what_it_hides() -> None:
    made = trainer(data=masked_data(), batch_size=2)
    with made.model.borrowed("fp32", 0):
        batch = made.rows.batch(1, 0, made.plan.rows(0))
        assert batch.mask is not None and batch.mask.shape == (2, 1, SIDE, SIDE)
        wanted = batch.noise - batch.latent
        hidden = torch.where(batch.mask > 0, wanted, seeded("anything", *wanted.shape))
        losses = [made.loss(replace(batch, wanted=target)) for target in (wanted, hidden, wanted + batch.mask)]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])


@pytest.mark.parametrize("outside", [0.0, 0.25, 1.0])
def test_what_lies_outside_counts_by_its_weight(outside: float) -> None:
    loss = Loss.of(settings(unmasked_weight=outside).training, Prediction.FLOW)
    mask = torch.tensor([1.0, 0.0, 0.5, 0.0]).view(1, 1, 2, 2)
    found = loss.rows(torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2), torch.ones(1), mask)
    assert float(found) == pytest.approx((1 + outside + 0.5 + outside / 2 + outside) / 4)


def test_unmasked_weight_in_a_run() -> None:
    half, none, full = (run(2, data=masked_data(), unmasked_weight=w)[0] for w in (0.5, 0.0, 1.0))
    unmasked = run(2, data=replace(masked_data(), entries=(entry("only"),)))[0]
    assert same(full, unmasked)
    assert not same(half, none) and not same(none, full)


def test_a_mask_is_mirrored_with_its_picture() -> None:
    made = trainer(data=masked_data(flip=True))
    plain, mirrored = (
        made.rows._mask(made.data.entries[0], flip, torch.zeros(1, 2, SIDE, SIDE)) for flip in (False, True)
    )
    assert plain is not None and mirrored is not None
    assert torch.equal(plain.flip(-1), mirrored) and not torch.equal(plain, mirrored)


def test_a_batch_mixes_pictures_with_and_without_a_mask() -> None:
    data = replace(masked_data(), entries=(*masked_data().entries, entry("free")))
    made = trainer(data=data, batch_size=2)
    batch = made.rows.batch(1, 0, made.plan.rows(0))
    assert batch.mask is not None
    assert sorted(batch.mask.flatten(1).mean(1).tolist()) == [0.5, 1.0]
    picked = batch.select([1])
    assert picked.mask is not None and torch.equal(picked.mask, batch.mask[1:])


def test_the_mask_of_a_clip_covers_every_frame() -> None:
    made = trainer(data=masked_data())
    mask = made.rows._mask(made.data.entries[0], False, torch.zeros(1, 16, 3, SIDE, SIDE))
    assert mask is not None and mask.shape == (1, 1, 3, SIDE, SIDE)
    assert float(mask.mean()) == 0.5


def test_prior_rows_have_no_mask() -> None:
    entries = tuple(replace(e, class_captions=("the class",)) for e in masked_data().entries)
    made = trainer(data=replace(masked_data(), entries=entries), prior_preservation=1.0)
    assert made.prior is not None
    (batch,) = made.prior.batches(made.rows, 1, 0, made.plan.rows(0))
    assert batch.mask is None
