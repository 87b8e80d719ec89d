"""Puts the trainer together with the host: what the train node calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import comfy.model_management
from comfy.model_patcher import ModelPatcher

from ..training.config import LoRAConfig, TrainingConfig
from ..training.curves import loss_picture
from ..training.data import TrainingData
from ..training.files import checked_name
from ..training.held_out import with_validation
from ..training.outline import checked_steps
from ..training.reporter import Paused
from ..training.request import NEW_RUN, TrainRequest
from ..training.run import TrainResult, train_lora
from ..training.runs.session import Origin
from ..training.runs.store import LoraModel, RunHandle, RunStore
from ..training.runs.table import curves_of, rows_of
from ..training.validation import cost
from . import commands
from .paths import runs_folder
from .preparation import ModelChoices, prepare
from .report import NodeReporter, preview

NODE_PARTS = ("class_type", "inputs", "_meta")
"""Of the host's API format."""


@dataclass(frozen=True)
class HostResult:
    lora: LoraModel
    handle: RunHandle
    losses: list[float]
    report: str
    picture: dict[str, str]
    """Of the loss, in the host's temp folder."""


@dataclass(frozen=True)
class RunInputs:
    """Of the train node: how far, how often, and which run."""

    steps: int
    save_every: int = -1
    keep_last: int = -1
    seed: int = 0
    name: str = "lora"
    run: RunHandle | None = None
    when_changed: str = NEW_RUN
    horizon: int = -1
    """The last step of the chain of train nodes that this one begins."""
    graphs: Mapping[str, Any] = field(default_factory=dict)
    """`training.runs.session.GRAPHS`: what was queued."""


def graphs_of(prompt: Any, extra: Any) -> dict[str, Any]:
    """What a run keeps of what was queued. `extra`: the host's extra_pnginfo; programs leave its workflow out."""
    workflow = extra.get("workflow") if isinstance(extra, dict) else None
    # The host notes in it what nodes say of their inputs, which may be no JSON.
    plain = {key: {name: node[name] for name in NODE_PARTS if name in node} for key, node in (prompt or {}).items()}
    return {"workflow": workflow, "prompt": plain}


def request_for(
    patcher: ModelPatcher,
    data: TrainingData,
    lora: LoRAConfig | None,
    training: TrainingConfig | None,
    inputs: RunInputs,
    choices: ModelChoices,
) -> tuple[TrainRequest, list[str]]:
    """A node's inputs as the trainer wants them, and what the user should know of them. Loads nothing."""
    checked_steps(inputs.steps)
    lora, settings = lora or LoRAConfig(), training or TrainingConfig()
    data = with_validation(data, settings.validation)
    prepared = prepare(patcher, data, settings, checked_name(inputs.name, "name"), choices, lora)
    request = TrainRequest(
        model=prepared.model,
        base_identity=prepared.identity,
        data=data,
        runs_folder=runs_folder(),
        steps=inputs.steps,
        save_every=inputs.save_every,
        keep_last=inputs.keep_last,
        seed=inputs.seed,
        name=prepared.name,
        lora=lora,
        training=prepared.training,
        text=prepared.model.text,
        start=prepared.start,
        horizon=inputs.horizon,
        run=inputs.run,
        when_changed=inputs.when_changed,
        origin=Origin(prepared.model.file, data.name, inputs.graphs),
    )
    measured = [] if settings.validation == "off" else [cost(data)]
    return request, [*prepared.notes, *data.notes, *measured]


def train_on_host(
    patcher: ModelPatcher,
    data: TrainingData,
    lora: LoRAConfig | None,
    training: TrainingConfig | None,
    node_id: str | None,
    inputs: RunInputs,
    choices: ModelChoices | None = None,
) -> HostResult:
    """Checks everything that can be known before the first step, then trains."""
    # From the start: what is asked while a large model is looked at is heard too.
    with commands.listening():
        request, notes = request_for(patcher, data, lora, training, inputs, choices or ModelChoices())
        reporter = NodeReporter(node_id, request.model.device)
        try:
            result = train_lora(request, reporter)
        except Paused as pause:
            _make_way(reporter, str(pause))
    report = _report(notes, result)
    reporter.text(report)
    return HostResult(result.lora, result.handle, result.losses, report, _shown_curves(result.handle))


def _shown_curves(handle: RunHandle) -> dict[str, str]:
    """Those of a run up to the handle's step, for programs; the page draws its own."""
    rows = rows_of(RunStore(handle.folder), handle.step)
    picture = loss_picture(curves_of(rows), f"step {handle.step:,}")
    return preview(picture, f"danlu_loss_{handle.folder.name}_{handle.step}")


def _make_way(reporter: NodeReporter, text: str) -> NoReturn:
    """Ends this prompt as a cancelled one; it stands in the queue again, behind the others."""
    if commands.queue_again():
        reporter.text(f"{text} It goes on after the workflows that wait.")
    else:
        reporter.text(f"{text} Nothing else waits: press Run to go on.")
    raise comfy.model_management.InterruptProcessingException()


def _report(notes: Sequence[str], result: TrainResult) -> str:
    """What stays on the node: the plan, what came of it, and every value that was chosen for the user."""
    recent = result.losses[-max(1, len(result.losses) // 10) :]
    outcome = f"step {result.handle.step:,} · loss {sum(recent) / max(1, len(recent)):.4f} (mean of the last tenth)"
    return "\n".join([result.summary, outcome, *notes, *result.resolved.choices])
