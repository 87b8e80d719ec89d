"""What to train and how: both nodes are optional, and -1 or "auto" leaves a value to the trainer."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ._types import CATEGORY, LoRAConfigType, TrainingConfigType

_AUTO = "-1: auto, from the model's family."


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
                    tooltip=f"Size of the LoRA (network dim). 16 to 32 suits most subjects. {_AUTO}",
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
                    tooltip=f"Share of the adapter's inputs set to zero while training. {_AUTO}",
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
            inputs=[*_main_inputs(), *_advanced_inputs(), _base_input()],
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


def _main_inputs() -> list[io.Input]:
    return [
        io.Float.Input(
            "learning_rate",
            default=-1.0,
            min=-1.0,
            max=100.0,
            step=1e-7,
            round=False,
            tooltip=f"How far each step moves the weights; 1e-4 can be typed. {_AUTO}",
        ),
        io.Int.Input(
            "batch_size",
            default=-1,
            min=-1,
            max=1024,
            tooltip="Pictures a step, each with its own caption. -1: auto, 1.",
        ),
        io.Combo.Input(
            "lr_scheduler",
            options=["auto", "constant", "linear", "cosine", "cosine_with_restarts", "polynomial"],
            default="auto",
            tooltip="How the learning rate changes over the run. auto: constant after the warmup.",
        ),
        io.Int.Input(
            "gradient_accumulation",
            default=-1,
            min=-1,
            max=1024,
            tooltip="Batches added up before each step: a larger batch without its memory. -1: auto, 1.",
        ),
    ]


def _advanced_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "optimizer",
            options=["auto", "adamw"],
            default="auto",
            tooltip="What turns gradients into steps. auto: AdamW.",
            advanced=True,
        ),
        io.Float.Input(
            "weight_decay",
            default=-1.0,
            min=-1.0,
            max=10.0,
            step=0.001,
            round=False,
            tooltip=f"Pull of the LoRA's weights towards zero. {_AUTO}",
            advanced=True,
        ),
        io.Int.Input(
            "schedule_steps",
            default=-1,
            min=-1,
            max=10_000_000,
            tooltip="Steps over which the schedule runs. -1: auto, the steps of the run.",
            advanced=True,
        ),
        io.Int.Input(
            "warmup_steps",
            default=-1,
            min=-1,
            max=10_000_000,
            tooltip="Steps in which the learning rate rises from zero. -1: auto, 2 % of the schedule.",
            advanced=True,
        ),
        io.Combo.Input(
            "precision",
            options=["auto", "fp32", "bf16"],
            default="auto",
            tooltip="What the model computes in. auto: what ComfyUI chose for it. The LoRA itself is always fp32.",
            advanced=True,
        ),
        io.Combo.Input(
            "gradient_checkpointing",
            options=["auto", "on", "off"],
            default="auto",
            tooltip="Recompute activations instead of keeping them: much less memory, slower. auto: off.",
            advanced=True,
        ),
        io.Combo.Input(
            "timestep_sampling",
            options=[
                "auto",
                "uniform",
                "sigmoid",
                "shift",
                "resolution_shift",
                "logit_normal",
                "high_noise",
                "low_noise",
            ],
            default="auto",
            tooltip=(
                "Which noise levels are trained most. sigmoid: the middle. high_noise: form; low_noise: detail. shift, "
                "logit_normal, resolution_shift: towards noise, by timestep_shift or by the picture's size. auto: "
                "what suits the model's family."
            ),
            advanced=True,
        ),
        io.Float.Input(
            "max_grad_norm",
            default=-1.0,
            min=-1.0,
            max=1e6,
            step=0.1,
            tooltip="Gradients longer than this are shortened to it. 0: never. -1: auto, 1.0.",
            advanced=True,
        ),
        io.Float.Input(
            "caption_dropout",
            default=-1.0,
            min=-1.0,
            max=1.0,
            step=0.01,
            tooltip="Share of pictures trained with an empty caption. -1: auto, 0.05.",
            advanced=True,
        ),
        *_later_inputs(),
    ]


def _later_inputs() -> list[io.Input]:
    """Optional: a graph in the API format from before they came runs as it did."""
    return [
        io.Float.Input(
            "prior_preservation",
            default=-1.0,
            min=-1.0,
            max=100.0,
            step=0.1,
            optional=True,
            tooltip=(
                "Weight of what keeps the model as it was where the trigger is not asked for: on regularisation "
                "pictures, else on captions without the trigger. Costs a third more time. 0: none. -1: auto, 1 with "
                "regularisation pictures, else 0."
            ),
            advanced=True,
        ),
        io.Float.Input(
            "timestep_shift",
            default=-1.0,
            min=-1.0,
            max=100.0,
            step=0.05,
            optional=True,
            tooltip=(
                "How far the timestep samplings shift and logit_normal move towards noise; 1: not at all. -1: auto, "
                "what the model's family is trained with."
            ),
            advanced=True,
        ),
        io.Float.Input(
            "sigma_min",
            default=-1.0,
            min=-1.0,
            max=1.0,
            step=0.005,
            optional=True,
            tooltip="Lowest noise level that is trained, as a share of the schedule: 0 is clean. -1: auto, 0.",
            advanced=True,
        ),
        io.Float.Input(
            "sigma_max",
            default=-1.0,
            min=-1.0,
            max=1.0,
            step=0.005,
            optional=True,
            tooltip="Highest noise level that is trained, as a share of the schedule: 1 is pure noise. -1: auto, 1.",
            advanced=True,
        ),
    ]


NODES = [DanluLoRAConfig, DanluTrainingConfig]
