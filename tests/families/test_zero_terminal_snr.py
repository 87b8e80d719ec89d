"""SDXL v-prediction with zero terminal SNR: its last noise level is all but pure noise, and it is trained there too."""

from __future__ import annotations

from pathlib import Path

import torch

from danlu.host.model import HostModel
from danlu.training.objective import Prediction, add_noise, target
from danlu.training.rows import Batch

from ..host.support import HELD, make_trainer, record, seeded
from .models import family_data, load_family
from .table import KINDS

KIND = {kind.name: kind for kind in KINDS}


def test_the_levels_are_the_hosts(family_folder: Path) -> None:
    zero = HostModel(load_family(family_folder, KIND["sdxl_v"]).patcher).sigmas
    plain = HostModel(load_family(family_folder, KIND["sdxl"]).patcher).sigmas
    assert zero is not None and plain is not None
    assert float(plain[-1]) < 20 and float(zero[-1]) > 1000
    assert bool((zero.diff() > 0).all())


def test_the_last_level(family_folder: Path) -> None:
    """The network is shown noise and asked for minus the picture; every gradient is a number."""
    base = load_family(family_folder, KIND["sdxl_v"])
    model = HostModel(base.patcher)
    assert model.sigmas is not None
    latent, noise = seeded("latent", 1, 4, 4, 4), seeded("noise", 1, 4, 4, 4)
    sigma = model.sigmas[-1:].clone()
    shown = model.sampling.calculate_input(sigma, add_noise(Prediction.V, latent, noise, sigma))
    torch.testing.assert_close(shown, noise, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(target(Prediction.V, latent, noise, sigma), -latent, rtol=1e-3, atol=1e-3)

    trainer = make_trainer(base, data=family_data(base.family), **HELD)
    row = trainer.rows.batch

    def last(*place: object) -> Batch:
        made = row(*place)  # type: ignore[arg-type]
        return Batch(made.latent, made.noise, sigma.expand(len(made.rows)).clone(), made.rows)

    trainer.rows = type("Last", (), {"batch": staticmethod(last)})()  # type: ignore[assignment]
    found = record(trainer)
    assert all(bool(gradient.isfinite().all()) and bool(gradient.any()) for gradient in found.gradients.values())
    assert float(found.batches[0].sigma) == float(sigma)
