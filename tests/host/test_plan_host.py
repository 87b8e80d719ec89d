"""Memory and plans on the host's own models: measured right, asked for in full, and without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comfy.model_management as management
import psutil
import pytest
import torch
from comfy.ops import QuantizedTensor

import danlu.host.model
from danlu.host.memory import card_of
from danlu.host.model import HostModel
from danlu.training import measure
from danlu.training.config import LoRAConfig, TrainingConfig
from danlu.training.loop import Trainer
from danlu.training.measure import choose_checkpointing, dry_step, expected_activations
from danlu.training.memory import Card, needs
from danlu.training.plan import make_plan
from danlu.training.plan_table import plan_text
from danlu.training.reporter import Reporter
from danlu.training.request import TrainRequest
from danlu.training.run import train_lora

from .snapshot import snapshot
from .support import Base, largest_difference, make_trainer, training_data


def request(base: Base, folder: Path, side: int = 4, **training: Any) -> TrainRequest:
    return TrainRequest(
        model=HostModel(base.patcher),
        base_identity="base",
        data=training_data(base.channels, side=side),
        runs_folder=folder,
        steps=2,
        lora=LoRAConfig(rank=2),
        training=TrainingConfig(learning_rate=1e-3, **training),
    )


@pytest.mark.parametrize("checkpointing", ["auto", "on"])
def test_a_plan_changes_nothing(any_base: Base, tmp_path: Path, checkpointing: str) -> None:
    before = snapshot(any_base)
    with torch.inference_mode():
        plan = make_plan(request(any_base, tmp_path, gradient_checkpointing=checkpointing), Reporter())
    assert snapshot(any_base).differences(before) == []
    assert list(tmp_path.iterdir()) == []
    assert plan.measured and plan.seconds_per_step and plan.verdict.fits
    assert plan.card.base == any_base.patcher.model_size() and plan.needs.activations > 10_000
    text = plan_text(plan)
    assert text.startswith("FITS\npeak ") and "rank 2" in text and max(map(len, text.splitlines())) < 90


@contextmanager
def profiled(_device: torch.device) -> Iterator[list[int]]:
    """`peak_memory`, from the notes of torch's own allocator."""
    found: list[int] = []
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        yield found
    assert profile.profiler is not None and profile.profiler.kineto_results is not None
    notes = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = peak = 0
    for note in sorted(notes, key=lambda note: note.start_ns()):
        live += note.nbytes()
        peak = max(peak, live)
    found.append(peak)


@pytest.mark.parametrize("checkpointing", ["off", "on"])
def test_what_is_measured_is_what_torch_allocates(
    any_base: Base, checkpointing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = training_data(any_base.channels, count=1, side=16)
    trainer = make_trainer(any_base, data=data, gradient_checkpointing=checkpointing)
    with torch.inference_mode():
        ours = dry_step(trainer).peak
        monkeypatch.setattr(measure, "peak_memory", profiled)
        allocated = dry_step(trainer).peak
    assert 0.85 * (allocated - inside_kernels(any_base)) < ours < 1.05 * allocated


def inside_kernels(base: Base) -> int:
    """The host takes the scale off a quantised weight inside one operation: a matrix in fp32 that nobody sees."""
    weights = [module.weight for module in base.network.modules() if getattr(module, "weight", None) is not None]
    return max((4 * weight.numel() for weight in weights if isinstance(weight, QuantizedTensor)), default=0)


@pytest.mark.parametrize("checkpointing", ["off", "on"])
def test_activations_are_foretold(base: Base, checkpointing: str) -> None:
    data = training_data(base.channels, count=1, side=24)
    trainer = make_trainer(base, data=data, gradient_checkpointing=checkpointing)
    with torch.inference_mode():
        assert expected_activations(trainer, checkpointing) == pytest.approx(dry_step(trainer).peak, rel=0.15)


def test_the_host_is_asked_for_all_of_it_first(
    flux_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    load = management.load_models_gpu

    def note(models: Any, memory_required: float = 0, **options: Any) -> None:
        asked.append(memory_required)
        load(models, memory_required=memory_required, **options)

    wanted = request(flux_base, tmp_path)
    measured: list[int] = []

    def chosen(trainer: Trainer) -> measure.Choice:
        choice = choose_checkpointing(trainer)
        measured.append(needs(trainer.parameters, trainer.config, choice.activations).total)
        return choice

    monkeypatch.setattr(management, "load_models_gpu", note)
    monkeypatch.setattr("danlu.training.settle.choose_checkpointing", chosen)
    with torch.inference_mode():
        train_lora(wanted, Reporter())
    assert asked[-1] == measured[0] > 0


def test_memory_decides_and_changes_rounding_at_most(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(name: str) -> Any:
        with torch.inference_mode():
            return train_lora(request(base, tmp_path / name), Reporter())

    roomy = trained("roomy")
    monkeypatch.setattr(danlu.host.model, "card_of", lambda patcher: replace(card_of(patcher), available=1))
    tight = trained("tight")
    chosen = [result.resolved.training.gradient_checkpointing for result in (roomy, tight)]
    assert chosen == ["off", "on"]
    # In a UNet gradients of a skip connection are added up in another order.
    assert largest_difference(tight.lora, roomy.lora) < 1e-3
    assert tight.handle.folder.name == roomy.handle.folder.name


def test_on_a_cpu_the_base_lies_in_memory_already(flux_base: Base) -> None:
    card = card_of(flux_base.patcher)
    memory = psutil.virtual_memory()
    assert (card.name, card.total, card.offloads) == ("RAM", memory.total, False)
    assert card.base == flux_base.patcher.model_size()
    assert card.available - card.base == pytest.approx(memory.available, rel=0.1)


def test_a_card_has_what_the_host_can_free_there(monkeypatch: pytest.MonkeyPatch) -> None:
    device, other = torch.device("xpu:0"), torch.device("xpu:1")
    held = [
        SimpleNamespace(device=device, model=object(), model_loaded_memory=lambda: 300),
        SimpleNamespace(device=other, model=object(), model_loaded_memory=lambda: 7000),
        SimpleNamespace(device=device, model=None, model_loaded_memory=lambda: 7000),
    ]
    monkeypatch.setattr(management, "current_loaded_models", held)
    monkeypatch.setattr(management, "get_free_memory", lambda _device: 1000)
    monkeypatch.setattr(management, "get_total_memory", lambda _device: 1250)
    monkeypatch.setattr(management, "extra_reserved_memory", lambda: 100)
    patcher: Any = SimpleNamespace(load_device=device, model_size=lambda: 5000)
    assert card_of(patcher) == Card("xpu:0", 1250, 1200, base=5000, offloads=True)
    monkeypatch.setattr(management, "extra_reserved_memory", lambda: 0)
    assert card_of(patcher).available == 1250
