"""A trained LoRA on model and text encoder."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ._types import CATEGORY, LoraModelType


class DanluApplyLoRA(io.ComfyNode):
    """What the host's LoRA loader does, for a LoRA that comes from a node."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluApplyLoRA",
            display_name="Apply LoRA (Danlu)",
            category=CATEGORY,
            description=(
                "Gives the model, and the text encoder where one is wired, with a LoRA applied, as Load LoRA does it. "
                "Neither is changed."
            ),
            search_aliases=["load lora", "test lora", "lora strength"],
            inputs=[
                io.Model.Input("model", tooltip="The model that the LoRA was trained on."),
                LoraModelType.Input("lora", tooltip="Of Train LoRA, Train Loop or Sweep (Danlu)."),
                io.Float.Input(
                    "strength", default=1.0, min=-100.0, max=100.0, step=0.01, tooltip="1: as trained. 0: not at all."
                ),
                io.Clip.Input("clip", optional=True, tooltip="For LoRAs whose text encoder was trained too."),
            ],
            outputs=[
                io.Model.Output("model", display_name="model"),
                io.Clip.Output("clip", display_name="clip"),
            ],
        )

    @classmethod
    def execute(cls, model: Any, lora: Any, strength: float, clip: Any = None) -> io.NodeOutput:
        from ..host.lora import applied

        return io.NodeOutput(*applied(model, clip, lora, strength))


NODES = [DanluApplyLoRA]
