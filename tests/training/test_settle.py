"""Gradient checkpointing left to the memory rules: chosen once, told, kept; and a full disk is refused early."""

from __future__ import annotations

import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from danlu.errors import DanluError
from danlu.training import disk, settle
from danlu.training.adapters import AdapterSet
from danlu.training.config import LoRAConfig, TrainingConfig
from danlu.training.disk import check_disk, checkpoint_interval, disk_needs
from danlu.training.loop import Trainer
from danlu.training.measure import choose_checkpointing
from danlu.training.memory import Card, Needs, needs
from danlu.training.reporter import Reporter
from danlu.training.request import TrainRequest
from danlu.training.run import TrainResult, train_lora
from danlu.training.targets import select

from .toys import ToyModel, settings, training_data

QUICK = TrainingConfig(learning_rate=1e-2, warmup_steps=0)
ENOUGH, SHORT = Card("card", 10**9, 10**9, 1000), Card("card", 1000, 1000, 1000)


def train(folder: Path, card: Card = ENOUGH, steps: int = 3, **training: Any) -> TrainResult:
    model = ToyModel(memory=card)
    config = replace(QUICK, **training)
    lora = LoRAConfig(rank=4, targets="all-linear", dropout=0.3)
    request = TrainRequest(model, "base", training_data(), folder, steps, lora=lora, training=config)
    with torch.inference_mode():
        return train_lora(request, Reporter())


@pytest.mark.parametrize(("card", "expected"), [(ENOUGH, "off"), (SHORT, "on")])
def test_what_memory_decides_is_told_and_in_the_manifest(tmp_path: Path, card: Card, expected: str) -> None:
    result = train(tmp_path, card)
    assert result.resolved.training.gradient_checkpointing == expected
    assert result.handle.manifest["training"]["gradient_checkpointing"] == expected
    assert result.resolved.choices[-1].startswith(f"gradient_checkpointing {expected}: ")


def test_it_is_chosen_once(tmp_path: Path) -> None:
    first = train(tmp_path, SHORT)
    again = train(tmp_path, ENOUGH)
    assert again.handle.folder == first.handle.folder
    assert again.resolved.training.gradient_checkpointing == "on"
    assert again.resolved.choices == first.resolved.choices
    # Stopped before its end: what there is now has no say either.
    (first.handle.folder / "checkpoints" / "000003.safetensors").unlink()
    assert train(tmp_path, ENOUGH).handle.manifest["training"]["gradient_checkpointing"] == "on"


def test_it_changes_no_bit_of_the_run_and_is_not_part_of_its_name(tmp_path: Path) -> None:
    results = [
        train(tmp_path / "off", ENOUGH, gradient_checkpointing="off"),
        train(tmp_path / "on", ENOUGH, gradient_checkpointing="on"),
        train(tmp_path / "chosen off", ENOUGH),
        train(tmp_path / "chosen on", SHORT),
    ]
    assert len({result.handle.folder.name for result in results}) == 1
    assert all(result.losses == results[0].losses for result in results)
    for result in results[1:]:
        assert all(torch.equal(tensor, results[0].lora[name]) for name, tensor in result.lora.items())
    kept = [result.handle.manifest["training"]["gradient_checkpointing"] for result in results]
    assert kept == ["off", "on", "off", "on"]


def test_the_user_has_the_last_word(tmp_path: Path) -> None:
    train(tmp_path, ENOUGH)
    result = train(tmp_path, ENOUGH, steps=4, schedule_steps=3, gradient_checkpointing="on")
    assert result.resolved.training.gradient_checkpointing == "on"


def test_room_is_asked_for_by_what_was_measured(tmp_path: Path) -> None:
    model = ToyModel()
    found = settings(optimizer="adamw")
    adapters = AdapterSet.create(select(model.network, found.lora), found.lora, 0)
    measured = choose_checkpointing(Trainer(model, training_data(), adapters, found.training, 0)).activations
    expected = needs(adapters.parameters(), found.training, measured).total
    model.lent.clear()
    request = TrainRequest(model, "base", training_data(), tmp_path, 2, lora=found.lora, training=QUICK)
    with torch.inference_mode():
        train_lora(request, Reporter())
    assert len(model.lent) == 2 and model.lent[0][1] > model.lent[1][1] == expected


@pytest.mark.parametrize(("device", "expected"), [("cpu", None), ("cuda", 123)])
def test_what_the_user_chose_is_measured_where_room_is_made_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, expected: int | None
) -> None:
    asked: list[str] = []

    def foretold(_trainer: Trainer, checkpointing: str) -> int:
        asked.append(checkpointing)
        return 123

    monkeypatch.setattr(settle, "expected_activations", foretold)
    trainer: Any = SimpleNamespace(model=SimpleNamespace(device=torch.device(device)))
    found = settings(gradient_checkpointing="on")
    assert settle.settled(found, trainer) == (found, expected)
    assert asked == ([] if device == "cpu" else ["on"])


def test_checkpoints_are_counted() -> None:
    needed = Needs(adapters=1000, gradients=1000, optimizer=2000, average=500, activations=10**9)

    def count(steps: int, save_every: int = -1, keep_last: int = -1) -> int:
        return disk_needs(needed, "lora", steps, save_every, keep_last, Path.cwd()).checkpoints

    assert checkpoint_interval(-1, 1000) == 100 and checkpoint_interval(-1, 5) == 1
    assert [count(1000), count(1005), count(1000, 400), count(1000, 1), count(3)] == [10, 11, 3, 1000, 3]
    assert [count(1000, 1, 5), count(1000, 1, 0), count(1000, 500, 50)] == [7, 2, 2]
    state = 1000 + 2000 + 500
    assert disk_needs(needed, "lora", 10, 5, -1, Path.cwd()).total == 2 * 1000 + 3 * state + 10 * 200
    assert disk_needs(needed, "pissa", 10, 5, -1, Path.cwd()).total == 2 * 2000 + 3 * state + 10 * 200


def full_disk(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    usage = namedtuple("usage", ("total", "used", "free"))
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _path: usage(10**12, 10**12 - free, free))


def test_a_full_disk_is_refused_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full_disk(monkeypatch, 5_000)
    calls = []
    monkeypatch.setattr(ToyModel, "predict", lambda *arguments: calls.append(arguments))
    with pytest.raises(DanluError, match=r"writes about .* \(3 checkpoints\) to .*, where 4.9 KB are free"):
        train(tmp_path / "runs")
    assert not calls and not (tmp_path / "runs").exists()


def test_what_is_on_disk_already_needs_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train(tmp_path)
    full_disk(monkeypatch, 0)
    assert train(tmp_path).handle == first.handle


def test_room_is_looked_up_where_the_folder_will_be(tmp_path: Path) -> None:
    found = disk_needs(Needs(0, 0, 0, 0, 0), "lora", 1, 1, -1, tmp_path / "not" / "yet")
    assert abs(found.free - shutil.disk_usage(tmp_path).free) < 1 << 30
    check_disk(found)
