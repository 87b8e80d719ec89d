"""The same seed gives the same files, bit by bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from danlu.host.identity import model_identity
from danlu.host.model import HostModel
from danlu.training.config import LoRAConfig, TrainingConfig
from danlu.training.reporter import Reporter
from danlu.training.request import TrainRequest
from danlu.training.run import TrainResult, train_lora

from .support import Base, training_data


def train(base: Base, runs: Path, seed: int = 0, checkpointing: str = "off") -> TrainResult:
    with torch.inference_mode():
        request = TrainRequest(
            model=HostModel(base.patcher),
            base_identity=model_identity(base.patcher),
            data=training_data(base.channels),
            runs_folder=runs,
            steps=4,
            save_every=2,
            seed=seed,
            lora=LoRAConfig(rank=2, dropout=0.25),
            training=TrainingConfig(batch_size=2, learning_rate=1e-3, gradient_checkpointing=checkpointing),
        )
        return train_lora(request, Reporter())


def files(result: TrainResult) -> dict[str, bytes]:
    return {checkpoint.path.name: checkpoint.path.read_bytes() for checkpoint in result.handle.checkpoints()}


@pytest.mark.parametrize("checkpointing", ["off", "on"])
def test_files_are_the_same_bits(base: Base, tmp_path: Path, checkpointing: str) -> None:
    one = train(base, tmp_path / "one", checkpointing=checkpointing)
    torch.rand(7)
    again = train(base, tmp_path / "again", checkpointing=checkpointing)
    assert files(one).keys() == {"000002.safetensors", "000004.safetensors"}
    assert files(one) == files(again)
    assert one.losses == again.losses
    assert one.handle.folder.name == again.handle.folder.name


def test_another_seed_is_another_run(base: Base, tmp_path: Path) -> None:
    one, other = train(base, tmp_path, seed=0), train(base, tmp_path, seed=1)
    assert one.handle.folder != other.handle.folder
    assert files(one)["000004.safetensors"] != files(other)["000004.safetensors"]


def test_the_same_run_answers_from_disk(flux_base: Base, tmp_path: Path) -> None:
    first = train(flux_base, tmp_path)
    times = {checkpoint.path: checkpoint.path.stat().st_mtime_ns for checkpoint in first.handle.checkpoints()}
    second = train(flux_base, tmp_path)
    assert second.handle.folder == first.handle.folder
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert second.losses == first.losses
