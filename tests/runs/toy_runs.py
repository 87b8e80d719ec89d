"""Whole runs of a toy model, that can be stopped after any step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from danlu.tests.training.toys import ToyModel, training_data
from danlu.training.config import LoRAConfig, TrainingConfig
from danlu.training.reporter import Command, Reporter, StepReport
from danlu.training.request import TrainRequest
from danlu.training.run import TrainResult, train_lora

STEPS = 12


class Stopped(BaseException):
    """What a host raises when the user cancels."""


@dataclass
class Watcher(Reporter):
    """Counts steps; cancels, or gives a command, once a step is done."""

    stop_after: int | None = None
    commands: Mapping[int, Command] = field(default_factory=dict)
    steps: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def step(self, report: StepReport) -> None:
        self.steps.append(report.step)

    def text(self, text: str) -> None:
        self.texts.append(text)

    def command(self) -> Command | None:
        return self.commands.get(self.steps[-1] if self.steps else 0)

    def check_interrupt(self) -> None:
        if self.stop_after is not None and self.steps and self.steps[-1] >= self.stop_after:
            raise Stopped


def request(folder: Path, steps: int = STEPS, lora: Mapping[str, Any] | None = None, **training: Any) -> TrainRequest:
    settings = {"learning_rate": 1e-2, "batch_size": 2, "caption_dropout": 0.3, **training}
    chosen = {"rank": 2, "targets": "all-linear", "dropout": 0.3, **(lora or {})}
    return TrainRequest(
        ToyModel(), "base", training_data(), folder, steps,
        save_every=4, name="toy", lora=LoRAConfig(**chosen), training=TrainingConfig(**settings),
    )  # fmt: skip


def train(asked: TrainRequest, watcher: Reporter | None = None) -> TrainResult:
    with torch.inference_mode():
        return train_lora(asked, watcher or Watcher())


def cut(asked: TrainRequest, step: int) -> None:
    """Trains until `step`, and is cancelled there."""
    try:
        train(asked, Watcher(stop_after=step))
    except Stopped:
        return
    raise AssertionError("it was not stopped")


def fresh(asked: TrainRequest, folder: Path) -> TrainRequest:
    """The same request elsewhere, on a model that nothing has touched: another process."""
    return replace(asked, model=ToyModel(), runs_folder=folder)


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
