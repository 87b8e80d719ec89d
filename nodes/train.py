"""Training a LoRA on the model that the graph already holds."""

from __future__ import annotations

import asyncio
from typing import Any

from comfy_api.latest import io

from ._types import (
    CATEGORY,
    CheckpointsType,
    LoRAConfigType,
    LoraModelType,
    LossMapType,
    RunType,
    TrainingConfigType,
    TrainingDataType,
)


class DanluTrainLoRA(io.ComfyNode):
    """Trains a LoRA in place on the wired MODEL, whose weights it never changes or copies."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluTrainLoRA",
            display_name="Train LoRA (Danlu)",
            category=CATEGORY,
            description=(
                "Trains a LoRA on the model that is already loaded. What was trained stays on disk: the same graph "
                "again answers at once, and a changed test prompt trains nothing."
            ),
            search_aliases=["lora training", "finetune", "dreambooth", "train", "kohya", "ai-toolkit"],
            is_output_node=True,
            not_idempotent=True,
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            inputs=_inputs(),
            outputs=[
                LoraModelType.Output("lora", display_name="lora"),
                RunType.Output("run", display_name="run"),
                CheckpointsType.Output("checkpoints", display_name="checkpoints"),
                LossMapType.Output("loss", display_name="loss"),
            ],
        )

    @classmethod
    def validate_inputs(cls, steps: int | None = None, name: str | None = None) -> bool | str:
        """Runs when the graph is queued, before anything is loaded or encoded; linked inputs come as None."""
        from ..errors import DanluError
        from ..training.files import checked_name
        from ..training.outline import checked_steps

        try:
            if steps is not None:
                checked_steps(steps)
            if name is not None:
                checked_name(name, "name")
        except DanluError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> list[Any]:
        """Another file under the same name is another input; linked inputs come as None."""
        from ..host.paths import lora_stamp

        return [lora_stamp(inputs.get(name)) for name in ("start_lora", "assistant_lora")]

    @classmethod
    async def execute(
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
        # Let nodes that test an earlier checkpoint run first: the executor works off what is ready while this sleeps.
        await asyncio.sleep(0.001)
        from ..host.preparation import ModelChoices
        from ..host.training import RunInputs, graphs_of, train_on_host
        from ..training.runs.chain import last_step

        choices = ModelChoices(expert, assistant_lora, train_distilled, start_lora, clip)
        node_id = cls.hidden.unique_id
        prompt = cls.hidden.prompt
        graphs = graphs_of(prompt, cls.hidden.extra_pnginfo)
        inputs = RunInputs(**run, horizon=last_step(prompt, node_id), graphs=graphs)
        result = train_on_host(model, training_data, lora_config, training_config, node_id, inputs, choices)
        shown = {"text": [result.report], "images": [result.picture], "danlu_run": [result.handle.folder.name]}
        return io.NodeOutput(result.lora, result.handle, result.handle, {"loss": result.losses}, ui=shown)


def _inputs() -> list[io.Input]:
    return [
        io.Model.Input("model", tooltip="The model to train on, from any loader. It is not changed."),
        TrainingDataType.Input("training_data", tooltip="Pictures and captions from Encode Dataset (Danlu)."),
        io.Int.Input(
            "steps",
            default=-1,
            min=-1,
            max=10_000_000,
            tooltip=(
                "Train until this step. -1: auto: as a preset or an imported config says, "
                "else 80 a picture, 1,000 to 8,000."
            ),
        ),
        io.Int.Input(
            "save_every",
            default=-1,
            min=-1,
            max=10_000_000,
            tooltip="Steps between checkpoints. -1: auto, ten checkpoints.",
        ),
        io.Int.Input(
            "keep_last",
            default=-1,
            min=-1,
            max=10_000,
            tooltip="How many checkpoints to keep beside the final one. -1: all.",
            advanced=True,
        ),
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=False,
            tooltip="The same seed, data and settings give the same LoRA, bit for bit. Another seed is another run.",
        ),
        io.String.Input(
            "name",
            default="my_lora",
            tooltip="What the LoRA is called; the save node uses it when it has no name of its own.",
        ),
        LoRAConfigType.Input("lora_config", optional=True, tooltip="Rank and layers. Not wired: all auto."),
        TrainingConfigType.Input(
            "training_config", optional=True, tooltip="Learning rate, batch, schedule. Not wired: all auto."
        ),
        *model_inputs(),
        *start_inputs(),
        *_going_on_inputs(),
    ]


def _going_on_inputs() -> list[io.Input]:
    return [
        RunType.Input(
            "run",
            optional=True,
            tooltip=(
                "The run of another train node, to go on where that one ended: steps counts from the very beginning. "
                "With other settings or data, a new run that starts from its LoRA."
            ),
        ),
        io.Combo.Input(
            "when_changed",
            options=["new run", "continue"],
            default="new run",
            optional=True,
            tooltip=(
                "When the last run of this name had other settings or data: begin anew, or go on from where it is "
                "with what has changed. The node says what differs."
            ),
            advanced=True,
        ),
    ]


def model_inputs() -> list[io.Input]:
    """What the trainer cannot always tell from the model itself."""
    from ..host.paths import lora_files

    return [
        io.Combo.Input(
            "expert",
            options=["auto", "high", "low", "none"],
            default="auto",
            optional=True,
            tooltip=(
                "Wan 2.2 is two models: one for high noise, one for low. Each is trained on its own noise levels. "
                "auto: by the name of the model's file."
            ),
            advanced=True,
        ),
        io.Combo.Input(
            "assistant_lora",
            options=["none", *lora_files()],
            default="none",
            optional=True,
            tooltip=(
                "For distilled models (Turbo, Lightning, schnell): a de-distilling LoRA that stands beside the model "
                "while it trains. It is not in the trained LoRA."
            ),
            advanced=True,
        ),
        io.Boolean.Input(
            "train_distilled",
            default=False,
            optional=True,
            tooltip=(
                "Train a distilled model (Turbo, Lightning, schnell) without assistant_lora. It may then need more "
                "steps for a picture."
            ),
            advanced=True,
        ),
    ]


def start_inputs() -> list[io.Input]:
    from ..host.paths import lora_files

    return [
        io.Combo.Input(
            "start_lora",
            options=["none", *(name for name in lora_files() if name.endswith(".safetensors"))],
            default="none",
            optional=True,
            tooltip=(
                "A LoRA to go on from, of this model's family and of any tool. Its algorithm, layers, rank and alpha "
                "are kept, as far as the LoRA config leaves them on auto."
            ),
            advanced=True,
        ),
        io.Clip.Input(
            "clip",
            optional=True,
            tooltip=(
                "Only for training the text encoder (text_encoder of the LoRA config): the CLIP that the dataset was "
                "encoded with. It is not changed."
            ),
        ),
    ]


NODES = [DanluTrainLoRA]
