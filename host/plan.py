"""What the plan node calls."""

from __future__ import annotations

from comfy.model_patcher import ModelPatcher

from ..training.config import LoRAConfig, TrainingConfig
from ..training.data import TrainingData
from ..training.plan import make_plan
from ..training.plan_table import headline, plan_text
from .preparation import ModelChoices
from .report import NodeReporter
from .training import RunInputs, request_for


def plan_on_host(
    patcher: ModelPatcher,
    data: TrainingData,
    lora: LoRAConfig | None,
    training: TrainingConfig | None,
    node_id: str | None,
    inputs: RunInputs,
    choices: ModelChoices,
) -> str:
    """The table."""
    request, notes = request_for(patcher, data, lora, training, inputs, choices)
    reporter = NodeReporter(node_id)
    plan = make_plan(request, reporter)
    reporter.text(headline(plan))
    return plan_text(plan, notes)
