"""Noise and targets are those of the host's own `model_sampling`."""

from __future__ import annotations

from typing import Any

import comfy.model_sampling as host
import pytest
import torch
from comfy.model_patcher import ModelPatcher

from danlu.errors import DanluError
from danlu.host.model import HostModel
from danlu.training.objective import Prediction, add_noise, target
from danlu.training.timesteps import shifted

from .support import Base, seeded


def kind_of(*kinds: type) -> Any:
    return type("Sampling", kinds, {})


def patched(base: Base, *kinds: type) -> ModelPatcher:
    """As the host's ModelSampling nodes change a model."""
    with torch.inference_mode():
        clone = base.patcher.clone()
        clone.add_object_patch("model_sampling", kind_of(*kinds)(base.patcher.model.model_config))
    return clone


def model_with(prediction: Prediction, flux: Base, sd15: Base) -> HostModel:
    if prediction is Prediction.FLOW:
        return HostModel(flux.patcher)
    if prediction is Prediction.EPS:
        return HostModel(sd15.patcher)
    return HostModel(patched(sd15, host.ModelSamplingDiscrete, host.V_PREDICTION))


@pytest.mark.parametrize("prediction", Prediction)
def test_the_perfect_answer_gives_back_the_latent(prediction: Prediction, flux_base: Base, sd15_base: Base) -> None:
    model = model_with(prediction, flux_base, sd15_base)
    assert model.prediction is prediction
    latent, noise = seeded("latent", 5, 4, 8, 8), seeded("noise", 5, 4, 8, 8)
    levels = model.sampling.sigmas
    sigma = levels[torch.linspace(0, len(levels) - 1, 5).long()].float().clone()
    noisy = add_noise(prediction, latent, noise, sigma)
    theirs = model.sampling.noise_scaling(sigma.view(-1, 1, 1, 1), noise.clone(), latent.clone())
    torch.testing.assert_close(noisy, theirs)
    denoised = model.sampling.calculate_denoised(sigma, target(prediction, latent, noise, sigma), noisy)
    torch.testing.assert_close(denoised, latent, rtol=1e-4, atol=1e-4)


def test_the_table_of_levels(flux_base: Base, sd15_base: Base) -> None:
    assert HostModel(flux_base.patcher).sigmas is None
    sigmas = HostModel(sd15_base.patcher).sigmas
    assert sigmas is not None
    assert torch.equal(sigmas, sd15_base.patcher.model.model_sampling.sigmas)
    assert bool((sigmas.diff() > 0).all())


def test_shift_is_the_models_own(flux_base: Base) -> None:
    """A factor, also where the host keeps its logarithm."""
    model, sampling = HostModel(flux_base.patcher), flux_base.patcher.model.model_sampling
    for p in (0.1, 0.5, 0.9):
        assert shifted(p, model.shift) == pytest.approx(float(sampling.percent_to_sigma(1.0 - p)), rel=1e-5)


def test_tokens(flux_base: Base, sd15_base: Base) -> None:
    """Flux looks at patches of 2 x 2 latent pixels, a UNet at each."""
    assert HostModel(flux_base.patcher).tokens((3, 16, 8, 5)) == 4 * 3
    assert HostModel(sd15_base.patcher).tokens((3, 4, 8, 5)) == 40
    assert HostModel(sd15_base.patcher).shift == 1.0


@pytest.mark.parametrize(
    "kinds",
    [
        (host.ModelSamplingDiscrete, host.X0),
        (host.ModelSamplingDiscrete, host.EDM),
        (host.ModelSamplingDiscrete, host.IMG_TO_IMG),
        (host.ModelSamplingDiscreteFlow, host.IMG_TO_IMG_FLOW),
        (host.ModelSamplingDiscrete, host.V_PREDICTION_DDPM),
        (host.ModelSamplingCosmosRFlow, host.COSMOS_RFLOW),
    ],
    ids=lambda kinds: kinds[1].__name__,
)
def test_other_kinds_are_refused(kinds: tuple[type, ...], sd15_base: Base) -> None:
    model = HostModel(patched(sd15_base, *kinds))
    with pytest.raises(DanluError, match="cannot train yet"):
        _ = model.prediction


def test_flow_with_scaled_noise_is_refused(sd15_base: Base) -> None:
    # The answer of such a model is scale * noise - x0: nothing that `target` knows of.
    patcher = patched(sd15_base, host.ModelSamplingDiscreteFlow, host.CONST)
    patcher.object_patches["model_sampling"].set_noise_scale(8.0)
    with pytest.raises(DanluError, match="cannot train yet"):
        _ = HostModel(patcher).prediction
