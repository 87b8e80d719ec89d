"""Training and testing every checkpoint with one test graph."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ._types import CATEGORY, LoopType, LoraModelType
from .train import DanluTrainLoRA


class DanluTrainLoop(io.ComfyNode):
    """Start of a loop over the checkpoints of a training; Grid (Danlu) ends it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluTrainLoop",
            display_name="Train Loop (Danlu)",
            category=CATEGORY,
            description=(
                "Trains up to a checkpoint, runs the nodes between this one and Grid (Danlu) with it, then trains on: "
                "one test graph for every checkpoint. What was trained and tested stays on disk."
            ),
            search_aliases=["train and test", "lora training loop", "validation", "sample every"],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            inputs=_inputs(),
            outputs=[
                LoraModelType.Output("lora", display_name="lora", tooltip="For Apply LoRA (Danlu) or Load LoRA Model."),
                io.Int.Output("step", display_name="step"),
                io.String.Output("label", display_name="label"),
                LoopType.Output("loop", display_name="loop", tooltip="For Grid (Danlu)."),
            ],
        )

    @classmethod
    def validate_inputs(cls, steps: int | None = None, name: str | None = None) -> bool | str:
        return DanluTrainLoRA.validate_inputs(steps=steps, name=name)

    @classmethod
    def fingerprint_inputs(cls, **_inputs: Any) -> float:
        """Not a number, so that it runs at every queue: what is done, and whether a grid is there, is on the disk and
        in the graph."""
        return float("nan")

    @classmethod
    def execute(
        cls,
        model: Any,
        training_data: Any,
        with_base: bool,
        lora_config: Any = None,
        training_config: Any = None,
        **inputs: Any,
    ) -> io.NodeOutput:
        from ..errors import DanluError
        from ..host.loop_plans import train_plan
        from ..host.loops import has_grid, nothing

        prompt, node_id = cls.hidden.dynprompt, cls.hidden.unique_id
        if not has_grid(prompt.get_original_prompt(), node_id):
            raise DanluError("loop: no Grid (Danlu) is wired to this node, so nothing would be trained.")
        choices, run = _sorted(inputs)
        node = prompt.get_node(node_id)["inputs"]
        plan = train_plan(model, training_data, lora_config, training_config, run, choices, node, with_base)
        # A grid that takes the label as it is would be blocked with it.
        # A run that is yet to be made tells the page of itself when it begins.
        shown = {"danlu_run": [plan.run.name]} if plan.is_begun else None
        return io.NodeOutput(*[nothing()] * 2, "", plan, ui=shown)


def _sorted(inputs: dict[str, Any]) -> tuple[Any, Any]:
    """(what is about the model, what is about the run)"""
    from dataclasses import fields

    from ..host.preparation import ModelChoices
    from ..host.training import RunInputs

    chosen = {f.name for f in fields(ModelChoices)}
    choices = ModelChoices(**{name: value for name, value in inputs.items() if name in chosen})
    return choices, RunInputs(**{name: value for name, value in inputs.items() if name not in chosen})


def _inputs() -> list[io.Input]:
    """Those of the train node, what is optional there behind: new ones are, so that order here stays too."""
    theirs = DanluTrainLoRA.define_schema().inputs
    own = io.Boolean.Input("with_base", default=True, tooltip="A first picture without a LoRA, to see what it changes.")
    return [*(i for i in theirs if not i.optional), own, *(i for i in theirs if i.optional)]


class DanluTrainSegment(io.ComfyNode):
    """Training up to one checkpoint of a loop."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluTrainSegment",
            display_name="Training of a Cell (Danlu)",
            category=CATEGORY,
            description="Used by Train Loop (Danlu) itself.",
            is_dev_only=True,
            not_idempotent=True,
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt, io.Hidden.extra_pnginfo],
            accept_all_inputs=True,
            inputs=[],
            outputs=[
                LoraModelType.Output("lora", display_name="lora"),
                io.Int.Output("step", display_name="step"),
                io.String.Output("label", display_name="label"),
            ],
        )

    @classmethod
    def execute(
        cls, model: Any, training_data: Any, lora_config: Any = None, training_config: Any = None, **inputs: Any
    ) -> io.NodeOutput:
        """`inputs`: those of the loop node, but steps, up to which it trains; horizon, the loop's own steps."""
        from dataclasses import replace

        from ..host.loop_plans import train_segment
        from ..host.training import graphs_of

        choices, run = _sorted(inputs)
        prompt = cls.hidden.dynprompt
        run = replace(run, graphs=graphs_of(prompt.get_original_prompt(), cls.hidden.extra_pnginfo))
        # What it says is shown on the loop node.
        shown_at = prompt.get_display_node_id(cls.hidden.unique_id)
        return io.NodeOutput(*train_segment(model, training_data, lora_config, training_config, run, choices, shown_at))


NODES = [DanluTrainLoop, DanluTrainSegment]
