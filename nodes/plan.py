"""What a run would be, before it starts."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ._types import CATEGORY, LoRAConfigType, TrainingConfigType, TrainingDataType
from .train import model_inputs, start_inputs


class DanluPlan(io.ComfyNode):
    """Memory, time, disk, layers and values of a run, from one measured step that trains nothing."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluPlan",
            display_name="Plan (Danlu)",
            category=CATEGORY,
            description=(
                "Says before training whether it fits the memory, how long it takes, what it trains and which values "
                "are chosen for you. One step is measured; nothing is trained and nothing written."
            ),
            search_aliases=["vram", "out of memory", "estimate", "dry run", "training time", "check"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=_inputs(),
            outputs=[
                io.Model.Output("model", display_name="model", tooltip="The same model, to wire on to Train LoRA."),
                io.String.Output("table", display_name="table", tooltip="What the node shows, as text."),
            ],
        )

    @classmethod
    def validate_inputs(cls, steps: int | None = None) -> bool | str:
        """Runs when the graph is queued; a linked input comes as None."""
        from ..errors import DanluError
        from ..training.outline import checked_steps

        try:
            if steps is not None:
                checked_steps(steps)
        except DanluError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        model: Any,
        training_data: Any,
        lora_config: Any = None,
        training_config: Any = None,
        expert: str = "auto",
        assistant_lora: str = "none",
        train_distilled: bool = False,
        start_lora: str = "none",
        clip: Any = None,
        **run: Any,
    ) -> io.NodeOutput:
        from ..host.plan import plan_on_host
        from ..host.preparation import ModelChoices
        from ..host.training import RunInputs

        choices = ModelChoices(expert, assistant_lora, train_distilled, start_lora, clip)
        table = plan_on_host(
            model, training_data, lora_config, training_config, cls.hidden.unique_id, RunInputs(**run), choices
        )
        return io.NodeOutput(model, table, ui={"text": [table]})


def _inputs() -> list[io.Input]:
    return [
        io.Model.Input("model", tooltip="The model to train on, as for Train LoRA. It is not changed."),
        TrainingDataType.Input("training_data", tooltip="Pictures and captions from Encode Dataset (Danlu)."),
        io.Int.Input(
            "steps",
            default=-1,
            min=-1,
            max=10_000_000,
            tooltip="As on Train LoRA: time and disk go by it. -1: auto, 80 a picture, between 1,000 and 8,000.",
        ),
        io.Int.Input(
            "save_every",
            default=-1,
            min=-1,
            max=10_000_000,
            tooltip="As on Train LoRA: the disk goes by it. -1: auto, ten checkpoints.",
            advanced=True,
        ),
        io.Int.Input(
            "keep_last",
            default=-1,
            min=-1,
            max=10_000,
            tooltip="As on Train LoRA: the disk goes by it. -1: all checkpoints are kept.",
            advanced=True,
        ),
        LoRAConfigType.Input("lora_config", optional=True, tooltip="As on Train LoRA. Not wired: all auto."),
        TrainingConfigType.Input("training_config", optional=True, tooltip="As on Train LoRA. Not wired: all auto."),
        *model_inputs(),
        *start_inputs(),
    ]


NODES = [DanluPlan]
