"""What to train and how: both nodes are optional, and -1 or "auto" leaves a value to the trainer."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ._training_inputs import training_inputs
from ._types import AUTO_FAMILY, CATEGORY, LoRAConfigType, TrainingConfigType


class DanluLoRAConfig(io.ComfyNode):
    """Which layers get an adapter, and how large."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluLoRAConfig",
            display_name="LoRA Config (Danlu)",
            category=CATEGORY,
            description="Size of the LoRA and the layers it trains. Optional: without it every value is auto.",
            search_aliases=["rank", "network dim", "alpha", "lora settings", "target modules"],
            inputs=[
                io.Int.Input(
                    "rank",
                    default=-1,
                    min=-1,
                    max=4096,
                    tooltip=f"Size of the LoRA (network dim). 16 to 32 suits most subjects. {AUTO_FAMILY}",
                ),
                io.Float.Input(
                    "alpha",
                    default=-1.0,
                    min=-1.0,
                    max=100000.0,
                    step=0.5,
                    tooltip="The LoRA is scaled by alpha / rank. -1: auto, alpha = rank (scale 1).",
                ),
                io.Combo.Input(
                    "targets",
                    options=["auto", "attention", "attention+mlp", "all-linear", "all-linear+conv"],
                    default="auto",
                    tooltip="Layers to train. auto: attention and MLP of every transformer block.",
                ),
                io.String.Input(
                    "include",
                    default="",
                    tooltip="Regular expression: only layers whose path matches are trained, e.g. single_blocks.",
                    advanced=True,
                ),
                io.String.Input(
                    "exclude",
                    default="",
                    tooltip="Regular expression: layers whose path matches are left out, e.g. txt_.",
                    advanced=True,
                ),
                io.Float.Input(
                    "dropout",
                    default=-1.0,
                    min=-1.0,
                    max=0.95,
                    step=0.01,
                    tooltip=f"Share of the adapter's inputs set to zero while training. {AUTO_FAMILY}",
                    advanced=True,
                ),
                *_kind_inputs(),
                LoRAConfigType.Input(
                    "base",
                    optional=True,
                    tooltip="Another LoRA config: what is left on auto here comes from it.",
                ),
            ],
            outputs=[LoRAConfigType.Output("lora_config", display_name="lora_config")],
        )

    @classmethod
    def execute(cls, base: Any = None, **values: Any) -> io.NodeOutput:
        from ..training.config import LoRAConfig, check, merged

        config = merged(LoRAConfig(**values), base)
        check(config)
        return io.NodeOutput(config)


def _kind_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "algorithm",
            options=["auto", "lora", "dora", "rslora", "pissa", "olora", "loha", "lokr", "oft"],
            default="auto",
            tooltip=(
                "auto, lora: what every program reads. dora: size and direction apart, nearer to full training, "
                "slower. rslora: scaled by alpha / sqrt(rank), for ranks above 64. pissa, olora: start from the "
                "model's own weights and learn faster; files of twice the rank. loha, lokr: other products, small "
                "files. oft: rotates layers, rank is the size of a block; neither alpha nor dropout."
            ),
            advanced=True,
        ),
        io.String.Input(
            "per_block",
            default="",
            multiline=True,
            placeholder="double_blocks: rank=8, lr=0.5",
            tooltip=(
                "Other values for some layers, one rule a line, e.g. double_blocks: rank=8, alpha=8, lr=0.5. Left of "
                "the last colon a regular expression; the first rule that matches counts; lr multiplies the rate."
            ),
            advanced=True,
        ),
        io.Combo.Input(
            "text_encoder",
            options=["auto", "on", "off"],
            default="auto",
            tooltip=(
                "Train the text encoder too: wire clip to Train LoRA (Danlu). For words that the model does not know, "
                "on SD 1.5 and SDXL. auto: off."
            ),
            advanced=True,
        ),
    ]


class DanluTrainingConfig(io.ComfyNode):
    """Learning rate, schedule, batch and the rest of how a LoRA is trained."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluTrainingConfig",
            display_name="Training Config (Danlu)",
            category=CATEGORY,
            description="How the LoRA is trained. Optional: without it every value is auto.",
            search_aliases=["learning rate", "optimizer", "scheduler", "batch size", "training settings"],
            inputs=[*training_inputs(), _base_input()],
            outputs=[TrainingConfigType.Output("training_config", display_name="training_config")],
        )

    @classmethod
    def execute(cls, base: Any = None, **values: Any) -> io.NodeOutput:
        from ..training.config import TrainingConfig, check, merged

        config = merged(TrainingConfig(**values), base)
        check(config)
        return io.NodeOutput(config)


def _base_input() -> io.Input:
    return TrainingConfigType.Input(
        "base",
        optional=True,
        tooltip="Another training config: what is left on auto here comes from it.",
    )


NODES = [DanluLoRAConfig, DanluTrainingConfig]
