"""The noise levels that a model is trained at, against the distributions that their names promise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from danlu.errors import DanluError
from danlu.training.config import TIMESTEP_SAMPLINGS, TrainingConfig, check
from danlu.training.families import FAMILIES
from danlu.training.rng import generator
from danlu.training.timesteps import MU, Timesteps, resolution_mu, shifted

from .test_loop import run
from .toys import SIDE, ToyModel, settings, training_data

SIGMAS = torch.linspace(0.03, 14.6, 1000)
SAMPLINGS = [name for name in TIMESTEP_SAMPLINGS if name != "auto"]


def levels(sampling: str = "uniform", **others: Any) -> Timesteps:
    made = Timesteps(sampling, shift=1.0, low=0.0, high=1.0, family="flux", sigmas=None)
    return replace(made, **others)


def draws(timesteps: Timesteps, tokens: int = 1024, count: int = 3000) -> Tensor:
    rng = generator("draws", timesteps.sampling)
    return torch.tensor([timesteps.draw(rng, tokens) for _ in range(count)], dtype=torch.float64)


def logistic_normal(shift: float) -> Callable[[Any], Any]:
    """Of s x / (1 + (s - 1) x), x logit-normal: shifting adds log(s) to the logit."""
    return lambda p: stats.norm.cdf([math.log(x / max(1.0 - x, 1e-15)) - math.log(shift) for x in p])


LAWS: dict[str, tuple[Timesteps, Callable[[Any], Any]]] = {
    "uniform": (levels(), stats.uniform.cdf),
    "sigmoid": (levels("sigmoid", shift=3.0), logistic_normal(1.0)),
    "shift": (levels("shift", shift=3.0), lambda p: p / (3.0 - 2.0 * p)),
    "logit_normal": (levels("logit_normal", shift=2.2), logistic_normal(2.2)),
    "resolution_shift": (levels("resolution_shift"), logistic_normal(math.exp(0.5 + 768 * 0.65 / 3840))),
    "high_noise": (levels("high_noise"), stats.beta(1.0, 1 / 3).cdf),
    "low_noise": (levels("low_noise"), stats.beta(1 / 3, 1.0).cdf),
}


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_distribution_is_the_one_of_its_name(sampling: str) -> None:
    timesteps, cdf = LAWS[sampling]
    found = draws(timesteps)
    assert found.min() > 0.0 and found.max() <= 1.0
    assert stats.kstest(found.numpy(), cdf).pvalue > 1e-3


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_distributions_differ(sampling: str) -> None:
    found = draws(LAWS[sampling][0]).numpy()
    others = [cdf for name, (_, cdf) in LAWS.items() if name != sampling]
    assert all(stats.kstest(found, cdf).pvalue < 1e-6 for cdf in others)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(("low", "high"), [(0.875, 1.0), (0.0, 0.4), (0.3, 0.6)])
def test_a_range_is_the_same_distribution_cut_off(sampling: str, low: float, high: float) -> None:
    timesteps, cdf = LAWS[sampling]
    found = draws(replace(timesteps, low=low, high=high))
    assert low < found.min() and found.max() <= high
    limit = (cdf(torch.tensor([max(low, 1e-9), min(high, 1 - 1e-12)]).double().numpy())).tolist()
    part = stats.kstest(found.numpy(), lambda p: (cdf(p) - limit[0]) / (limit[1] - limit[0]))
    assert part.pvalue > 1e-3


def test_mu_of_families() -> None:
    """Flux.1: 0.5 at 256 tokens, 1.15 at 4096; Qwen-Image: 0.5 at 256, 0.9 at 8192."""
    assert [resolution_mu("flux", tokens) for tokens in (256, 4096)] == pytest.approx([0.5, 1.15])
    for family in ("qwen_image", "qwen_image_edit"):
        assert [resolution_mu(family, tokens) for tokens in (256, 8192)] == pytest.approx([0.5, 0.9])
    assert resolution_mu("flux2", 1024) == pytest.approx(0.5 + 0.65 * 768 / 3840)


def test_tables_by_family_name_families_that_there_are() -> None:
    assert set(MU) - {""} <= set(FAMILIES)


def test_large_pictures_are_trained_noisier() -> None:
    timesteps = levels("resolution_shift")
    small, large = (draws(timesteps, tokens).median() for tokens in (256, 4096))
    assert float(small) == pytest.approx(shifted(0.5, math.exp(0.5)), abs=0.02)
    assert float(large) == pytest.approx(shifted(0.5, math.exp(1.15)), abs=0.02)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_discrete_levels_are_rows_of_the_table(sampling: str) -> None:
    found = draws(levels(sampling, sigmas=SIGMAS, shift=2.0), count=500).float()
    assert set(found.tolist()) <= set(SIGMAS.tolist())


def test_uniform_reaches_every_row_of_a_table_alike() -> None:
    table = SIGMAS[::100]
    found = draws(levels(sigmas=table), count=4000).float()
    counts = torch.tensor([int((found == level).sum()) for level in table])
    assert (counts - 400).abs().max() < 80


def test_a_share_of_a_table() -> None:
    found = draws(levels(sigmas=SIGMAS, low=0.25, high=0.5), count=4000).float()
    rows = SIGMAS[250:500]
    assert (found.min(), found.max()) == (rows[0], rows[-1])


def sigmas_of(model: ToyModel, steps: int = 20, **training: Any) -> list[float]:
    """What the network was asked at."""
    seen: list[float] = []
    predict = model.predict

    def note(noisy: Tensor, sigma: Tensor, rows: Any) -> Tensor:
        seen.extend(sigma.tolist())
        return predict(noisy, sigma, rows)

    model.predict = note  # type: ignore[method-assign]
    run(steps, model, training_data(2), batch_size=4, learning_rate=1e-12, **training)
    return seen[4:]


def test_the_run_draws_from_its_config() -> None:
    assert all(0.6 < sigma <= 0.8 for sigma in sigmas_of(ToyModel(), sigma_min=0.6, sigma_max=0.8))
    low, high = (sorted(sigmas_of(ToyModel(), timestep_sampling=f"{end}_noise"))[40] for end in ("low", "high"))
    assert low < 0.3 and high > 0.7
    shift = sorted(sigmas_of(ToyModel(), timestep_sampling="shift", timestep_shift=20.0))
    assert shift[40] > 0.85


def test_tokens_are_those_of_the_model() -> None:
    model = ToyModel()
    asked: list[tuple[int, ...]] = []

    def tokens(shape: Any) -> int:
        asked.append(tuple(shape))
        return 500_000

    model.tokens = tokens  # type: ignore[method-assign, assignment]
    found = sigmas_of(model, steps=3, timestep_sampling="resolution_shift")
    assert set(asked) == {(1, 2, SIDE, SIDE)}
    assert min(found) > 0.999


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.5), (0.9, 0.1)])
def test_an_empty_range_is_refused(low: float, high: float) -> None:
    with pytest.raises(DanluError, match="sigma_min"):
        check(TrainingConfig(sigma_min=low, sigma_max=high))
    with pytest.raises(DanluError, match="sigma_min"):
        check(settings(sigma_min=1.0).training)
