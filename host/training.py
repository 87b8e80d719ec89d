"""Puts the trainer together with the host: what the train node calls."""

from __future__ import annotations

from dataclasses import dataclass

from comfy.model_patcher import ModelPatcher

from ..training.config import LoRAConfig, TrainingConfig
from ..training.data import TrainingData
from ..training.files import checked_name
from ..training.run import TrainRequest, TrainResult, checked_steps, train_lora
from ..training.store import LoraModel, RunHandle
from .identity import model_identity
from .model import HostModel
from .paths import runs_folder
from .report import NodeReporter


@dataclass(frozen=True)
class HostResult:
    lora: LoraModel
    handle: RunHandle
    losses: list[float]
    report: str


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
) -> HostResult:
    """Checks everything that can be known before the first step, then trains."""
    checked_steps(steps)
    model = HostModel(patcher)
    model.check_fits(data)
    request = TrainRequest(
        model=model,
        base_identity=model_identity(patcher),
        data=data,
        runs_folder=runs_folder(),
        steps=steps,
        save_every=save_every,
        keep_last=keep_last,
        seed=seed,
        name=checked_name(name, "name"),
        lora=lora or LoRAConfig(),
        training=training or TrainingConfig(),
    )
    reporter = NodeReporter(node_id)
    result = train_lora(request, reporter)
    report = _report(data, result)
    reporter.text(report)
    return HostResult(result.lora, result.handle, result.losses, report)


def _report(data: TrainingData, result: TrainResult) -> str:
    """What stays on the node: the plan, what came of it, and every value that was chosen for the user."""
    recent = result.losses[-max(1, len(result.losses) // 10) :]
    outcome = f"step {result.handle.step:,} · loss {sum(recent) / max(1, len(recent)):.4f} (mean of the last tenth)"
    return "\n".join([result.summary, outcome, *data.notes, *result.resolved.choices])
