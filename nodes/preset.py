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


class DanluImportConfig(io.ComfyNode):
    """Another trainer's config as ours."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluImportConfig",
            display_name="Import Config (Danlu)",
            category=CATEGORY,
            description=(
                "Reads an ai-toolkit YAML or a kohya (sd-scripts, musubi-tuner) TOML, and says what was converted, "
                "what is set at other nodes, and what is not converted."
            ),
            search_aliases=["ai-toolkit", "kohya", "sd-scripts", "musubi", "yaml", "toml", "recipe"],
            inputs=[
                io.String.Input(
                    "text",
                    default="",
                    multiline=True,
                    placeholder="paste an ai-toolkit YAML or a kohya TOML",
                    tooltip="The config's text. Leave it empty to read a file.",
                ),
                io.String.Input(
                    "file",
                    default="",
                    placeholder="a file in ComfyUI's input folder",
                    tooltip="Name of a .yaml, .json or .toml file below ComfyUI's input folder, in place of a text.",
                ),
            ],
            outputs=[*_config_outputs(), io.String.Output("report", display_name="report")],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def fingerprint_inputs(cls, text: str, file: str) -> str:
        """Runs again when the file on disk has changed."""
        from ..host.importing import config_fingerprint

        return text if text.strip() else config_fingerprint(file)

    @classmethod
    def execute(cls, text: str, file: str) -> io.NodeOutput:
        from ..errors import DanluError
        from ..host.importing import config_text
        from ..host.report import NodeReporter
        from ..training.imports import import_config

        if text.strip() and file.strip():
            raise DanluError("Import Config: text and file are both given. Empty one of them.")
        found = import_config(config_text(file) if file.strip() else text)
        NodeReporter(cls.hidden.unique_id).text(found.report)
        return io.NodeOutput(found.lora, found.training, found.report, ui={"text": [found.report]})


def _config_outputs() -> list[io.Output]:
    return [
        LoRAConfigType.Output("lora_config", display_name="lora_config"),
        TrainingConfigType.Output("training_config", display_name="training_config"),
    ]


NODES = [DanluPreset, DanluImportConfig]
