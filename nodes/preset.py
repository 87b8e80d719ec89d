"""Both configs at once: from what is to be learnt, or from another trainer's config."""

from __future__ import annotations

from comfy_api.latest import io

from ._types import CATEGORY, LoRAConfigType, TrainingConfigType


class DanluPreset(io.ComfyNode):
    """Start values in the user's words."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluPreset",
            display_name="Preset (Danlu)",
            category=CATEGORY,
            description=(
                "Settings for what you want to learn and the memory of your card, fitted to the model at training. "
                "The node says what it set and why; a config node behind it changes single values."
            ),
            search_aliases=["preset", "person", "character", "style", "vram", "beginner settings"],
            inputs=[
                io.Combo.Input(
                    "kind",
                    options=["person", "anime", "style", "product", "clothing", "pose", "edit"],
                    default="person",
                    tooltip=(
                        "What the LoRA shall learn: one goal each. anime: a drawn character. edit: a change to "
                        "pictures, learnt from pairs of before and after."
                    ),
                ),
                io.Combo.Input(
                    "memory",
                    options=["auto", "6 GB", "8 GB", "12 GB", "16 GB", "24 GB+"],
                    default="auto",
                    tooltip="Memory of the graphics card. auto: nothing is given up for the sake of memory.",
                ),
            ],
            outputs=_config_outputs(),
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, kind: str, memory: str) -> io.NodeOutput:
        from ..host.report import NodeReporter
        from ..training.config import LoRAConfig, TrainingConfig
        from ..training.preset_text import describe
        from ..training.presets import length_of, preset_name

        name = preset_name(kind, memory)
        configs = LoRAConfig(preset=name), TrainingConfig(preset=name, length=length_of(kind))
        text = describe(kind, memory)
        NodeReporter(cls.hidden.unique_id).text(text)
        return io.NodeOutput(*configs, ui={"text": [text]})


def _config_outputs() -> list[io.Output]:
    return [
        LoRAConfigType.Output("lora_config", display_name="lora_config"),
        TrainingConfigType.Output("training_config", display_name="training_config"),
    ]


NODES = [DanluPreset]
