"""Every algorithm on the real host: right gradients, and files that do there what the live adapter did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import comfy.sd
import pytest
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from danlu.training.adapters import AdapterSet
from danlu.training.loop import Batch, Trainer

from .finite_differences import FP32
from .snapshot import snapshot
from .support import HELD, Base, Recorder, gradients, largest_difference, make_trainer, record, relative, run, seeded
from .test_file_formats import saved
from .test_gradients import check
from .test_lent_weights import Lender, install
from .test_lora_files import answer
from .test_unchanged import loaded

ALGORITHMS = ("lora", "rslora", "dora", "pissa", "olora", "loha", "lokr", "oft")
CURVED = replace(FP32, shorter=(1.0, 4.0))
"""A rotation is no straight line."""
each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)


def trainer_of(base: Base, algorithm: str, targets: str = "attention+mlp", **training: object) -> Trainer:
    """Rank 4 (OFT's blocks of 4); those that start from the weights get their values from the host's."""
    alpha = {} if algorithm == "oft" else {"alpha": 2.0}
    lora = {"algorithm": algorithm, "rank": 4, "targets": targets, **alpha}
    own_start = algorithm in ("pissa", "olora")
    trainer = make_trainer(base, lora, random_adapters=not own_start, **{**HELD, **training})  # type: ignore[arg-type]
    if algorithm == "loha":
        # A product of four: doubled each, they have an effect that fp32 can tell.
        with torch.inference_mode(False), torch.no_grad():
            for parameter in trainer.parameters:
                parameter *= 2
    return trainer


def moved(adapters: AdapterSet) -> AdapterSet:
    """Every tensor a little away from where it is, as after training."""
    with torch.inference_mode(False), torch.no_grad():
        for layer, adapter in adapters.adapters.items():
            for name, parameter in adapter.named_parameters():
                noise = seeded(f"{layer} {name}", *parameter.shape)
                size = 0.05 if name == "magnitude" else 0.5 / parameter[0].numel() ** 0.5
                parameter += noise * size
    return adapters


def started(base: Base, algorithm: str) -> tuple[AdapterSet, Recorder]:
    trainer = trainer_of(base, algorithm, base.everything, batch_size=2)
    recorder = record(trainer)
    return moved(trainer.adapters), recorder


def with_lora(patcher: ModelPatcher, state: dict[str, Tensor]) -> ModelPatcher:
    with torch.inference_mode():
        return comfy.sd.load_lora_for_models(patcher, None, state, 1.0, 0.0)[0]


@each_algorithm
def test_the_hosts_loader_does_what_the_live_adapter_did(
    algorithm: str, base: Base, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    adapters, recorder = started(base, algorithm)
    plain = answer(base.patcher, recorder)
    live = answer(base.patcher, recorder, adapters) - plain
    state = adapters.state_dict()
    loader = with_lora(base.patcher, state)
    assert loader.patches.keys() == {f"diffusion_model.{name}.weight" for name in adapters.adapters}
    effect = answer(loader, recorder) - plain
    assert not [r.getMessage() for r in caplog.records if r.levelname in ("WARNING", "ERROR")]
    assert live.norm() > 0.01 * plain.norm()
    assert relative(effect, live) < 1e-4
    assert torch.equal(answer(base.patcher, recorder), plain)
    # Saving reads each file back, and raises when it means anything else.
    assert saved(base, state, tmp_path / "16 bits", "kohya", "bf16").exists()
    assert saved(base, state, tmp_path / "own names", "comfy").exists()


@each_algorithm
def test_gradients_of_every_tensor(algorithm: str, flux_base: Base) -> None:
    found = check(trainer_of(flux_base, algorithm), CURVED)
    checkpointed = gradients(trainer_of(flux_base, algorithm, gradient_checkpointing="on"))
    assert largest_difference(checkpointed, found) < 1e-4


@each_algorithm
@pytest.mark.parametrize("name", ["fp8", "scaled"])
def test_quantised_bases_train_and_keep_no_weight(algorithm: str, name: str, request: pytest.FixtureRequest) -> None:
    base: Base = request.getfixturevalue(f"{name}_base")
    before = loaded(base)
    trainer = trainer_of(base, algorithm, learning_rate=1e-2)
    saved: list[Tensor] = []
    row_losses = trainer.row_losses

    def noted(batch: Batch) -> Tensor:
        with saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):  # type: ignore[func-returns-value]
            return row_losses(batch)

    trainer.row_losses = noted  # type: ignore[method-assign]
    start = trainer.adapters.training_state()
    run(trainer, 2)
    assert all(not torch.equal(start[key], now) for key, now in _learned(trainer).items())
    assert {p.dtype for p in trainer.adapters.parameters()} == {torch.float32}
    sizes = {p.numel() for p in base.network.parameters() if p.ndim > 1}
    assert saved
    assert not {tuple(t.shape) for t in saved if t.numel() in sizes}
    with torch.inference_mode():
        assert not snapshot(base).differences(before)


def _learned(trainer: Trainer) -> dict[str, Tensor]:
    return {
        f"{layer}.{name}": parameter.detach().cpu()
        for layer, adapter in trainer.adapters.adapters.items()
        for name, parameter in adapter.named_parameters()
    }


@pytest.mark.parametrize("algorithm", ["dora", "pissa", "oft"])
def test_what_reads_weights_reads_lent_ones(algorithm: str, flux_base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = gradients(trainer_of(flux_base, algorithm))
    install(Lender(poison=True, inference=True), monkeypatch)
    found = gradients(trainer_of(flux_base, algorithm))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
