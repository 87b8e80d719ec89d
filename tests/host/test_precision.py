"""Training in half precision, on the host's own casting of weights and inputs."""

from __future__ import annotations

import pytest
import torch

from danlu.training.loop import StepLog

from .support import HELD, Base, gradients, make_trainer, relative, run


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_gives_nearly_the_same_gradients(flux_base: Base, precision: str) -> None:
    half = gradients(make_trainer(flux_base, batch_size=2, precision=precision, **HELD))
    full = gradients(make_trainer(flux_base, batch_size=2, precision="fp32", **HELD))
    found, expected = (torch.cat([g.flatten() for g in kind.values()]) for kind in (half, full))
    assert 1e-6 < relative(found, expected) < (0.02 if precision == "fp16" else 0.1)
    assert {gradient.dtype for gradient in half.values()} == {torch.float32}, "adapters are fp32"


def test_fp16_trains(flux_base: Base) -> None:
    logs: dict[str, list[StepLog]] = {"fp16": [], "fp32": []}
    for precision, log in logs.items():
        run(make_trainer(flux_base, precision=precision, on_step=log.append, learning_rate=1e-3), steps=4)
    assert [e.loss for e in logs["fp16"]] == pytest.approx([e.loss for e in logs["fp32"]], rel=0.02)
