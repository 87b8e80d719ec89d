"""What the plan node calls."""

from __future__ import annotations

from comfy.model_patcher import ModelPatcher

from ..training.config import LoRAConfig, TrainingConfig
from ..training.data import TrainingData
from ..training.plan import make_plan
from ..training.plan_table import headline, plan_text
from .preparation import ModelChoices
from .report import NodeReporter
from .training import request_for


def plan_on_host(
    patcher: ModelPatcher,
    data: TrainingData,
    lora: LoRAConfig | None,
    training: TrainingConfig | None,
    node_id: str | None,
    steps: int,
    save_every: int,
    keep_last: int,
    choices: ModelChoices,
) -> str:
    """The table. Seed and name of the run to come play no part in it."""
    request, notes = request_for(patcher, data, lora, training, steps, save_every, keep_last, 0, "plan", choices)
    reporter = NodeReporter(node_id)
    plan = make_plan(request, reporter)
    reporter.text(headline(plan))
    return plan_text(plan, notes)
