"""The gradients of every adapter tensor agree with finite differences, on the real host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import comfy.ldm.flux.layers
import pytest
import torch
from comfy_extras.nodes_train import find_modules_at_depth, patch, unpatch
from torch import Tensor, nn

import danlu.host.model
from danlu.training.loop import Trainer
from danlu.training.objective import add_noise, target

from .finite_differences import FP32, FP64, Differences, check_gradients
from .support import (
    HELD,
    Base,
    Recorder,
    gradients,
    largest_difference,
    load,
    make_trainer,
    record,
    tensors_of,
)


def small_trainer(base: Base, checkpointing: str = "off", dtype: torch.dtype = torch.float32) -> Trainer:
    return make_trainer(base, dtype=dtype, gradient_checkpointing=checkpointing, **HELD)


def exact_loss(trainer: Trainer, recorder: Recorder) -> Callable[[], float]:
    """The trainer's loss, summed in double, by a forward pass that autograd has no part in."""
    batch = recorder.batches[-1]
    kind = trainer.model.prediction
    noisy = add_noise(kind, batch.latent, batch.noise, batch.sigma)
    wanted = target(kind, batch.latent, batch.noise, batch.sigma).double()

    def loss() -> float:
        answer = trainer.model.predict(noisy, batch.sigma, batch.rows)
        return float((answer.double() - wanted).square().mean())

    return loss


def check(trainer: Trainer, how: Differences) -> dict[str, Tensor]:
    """One step of the real trainer, its gradients checked while the model is still lent."""

    def inside(recorder: Recorder) -> None:
        check_gradients(exact_loss(trainer, recorder), tensors_of(trainer.adapters), recorder.gradients, how)

    return record(trainer, inside).gradients


@pytest.fixture
def exact_rope(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host computes positions in fp64 and rounds them to fp32, which would round the queries with them."""
    rope = comfy.ldm.flux.layers.rope

    def wide(pos: Tensor, dim: int, theta: int) -> Tensor:
        return rope(pos, dim, theta).double()

    monkeypatch.setattr(comfy.ldm.flux.layers, "rope", wide)


@pytest.fixture(params=["flux", "sd15-narrow"])
def double_base(request: pytest.FixtureRequest, model_folder: Path) -> Base:
    return load(model_folder, request.param, torch.float64)


def test_every_tensor_fp32(base: Base) -> None:
    found = check(small_trainer(base), FP32)
    checkpointed = gradients(small_trainer(base, "on"))
    assert largest_difference(checkpointed, found) < 1e-5


@pytest.mark.usefixtures("exact_rope")
def test_every_tensor_fp64(double_base: Base) -> None:
    found = check(small_trainer(double_base, dtype=torch.float64), FP64)
    assert {gradient.dtype for gradient in found.values()} == {torch.float64}
    checkpointed = gradients(small_trainer(double_base, "on", torch.float64))
    assert largest_difference(checkpointed, found) < 1e-12


def test_checkpointed_gradients_fp32(flux_base: Base) -> None:
    check(small_trainer(flux_base, "on"), FP32)


@contextmanager
def host_checkpointing(network: nn.Module) -> Iterator[None]:
    """What the host's own trainer does to a model by default."""
    modules = find_modules_at_depth(network, depth=1)
    try:
        for module in modules:
            patch(module)
        yield
    finally:
        for module in modules:
            unpatch(module)


def test_the_check_finds_wrong_gradients(flux_base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    # The host's checkpointing on blocks that change their inputs in place.
    monkeypatch.setattr(danlu.host.model, "frozen_layers", lambda _network: nullcontext())
    with host_checkpointing(flux_base.network), pytest.raises(AssertionError, match="differ; the worst"):
        check(small_trainer(flux_base), FP32)
    monkeypatch.undo()
    check(small_trainer(flux_base), FP32)
