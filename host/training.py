"""Puts the trainer together with the host: what the train node calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from comfy.model_patcher import ModelPatcher

from ..training.config import LoRAConfig, TrainingConfig
from ..training.data import TrainingData
from ..training.files import checked_name
from ..training.run import TrainRequest, TrainResult, checked_steps, train_lora
from ..training.store import LoraModel, RunHandle
from .paths import runs_folder
from .preparation import ModelChoices, prepare
from .report import NodeReporter


@dataclass(frozen=True)
class HostResult:
    lora: LoraModel
    handle: RunHandle
    losses: list[float]
    report: str


def request_for(
    patcher: ModelPatcher,
    data: TrainingData,
    lora: LoRAConfig | None,
    training: TrainingConfig | None,
    steps: int,
    save_every: int,
    keep_last: int,
    seed: int,
    name: str,
    choices: ModelChoices,
) -> tuple[TrainRequest, list[str]]:
    """A node's inputs as the trainer wants them, and what the user should know of them. Loads nothing."""
    checked_steps(steps)
    lora, settings = lora or LoRAConfig(), training or TrainingConfig()
    prepared = prepare(patcher, data, settings, checked_name(name, "name"), choices, lora)
    request = TrainRequest(
        model=prepared.model,
        base_identity=prepared.identity,
        data=data,
        runs_folder=runs_folder(),
        steps=steps,
        save_every=save_every,
        keep_last=keep_last,
        seed=seed,
        name=prepared.name,
        lora=lora,
        training=prepared.training,
        text=prepared.model.text,
        start=prepared.start,
    )
    return request, [*prepared.notes, *data.notes]


def train_on_host(
    patcher: ModelPatcher,
    data: TrainingData,
    lora: LoRAConfig | None,
    training: TrainingConfig | None,
    node_id: str | None,
    steps: int,
    save_every: int,
    keep_last: int,
    seed: int,
    name: str,
    choices: ModelChoices | None = None,
) -> HostResult:
    """Checks everything that can be known before the first step, then trains."""
    request, notes = request_for(
        patcher, data, lora, training, steps, save_every, keep_last, seed, name, choices or ModelChoices()
    )
    reporter = NodeReporter(node_id)
    result = train_lora(request, reporter)
    report = _report(notes, result)
    reporter.text(report)
    return HostResult(result.lora, result.handle, result.losses, report)


def _report(notes: Sequence[str], result: TrainResult) -> str:
    """What stays on the node: the plan, what came of it, and every value that was chosen for the user."""
    recent = result.losses[-max(1, len(result.losses) // 10) :]
    outcome = f"step {result.handle.step:,} · loss {sum(recent) / max(1, len(recent)):.4f} (mean of the last tenth)"
    return "\n".join([result.summary, outcome, *notes, *result.resolved.choices])
