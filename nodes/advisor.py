"""Which checkpoint is the best, and keeping it."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ._types import CATEGORY, CheckpointsType, LoraModelType, RunType


class DanluAdvisor(io.ComfyNode):
    """Reads what a run has measured of its checkpoints, and says it in words."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluAdvisor",
            display_name="Advisor (Danlu)",
            category=CATEGORY,
            description=(
                "Says of each checkpoint whether it is not learned yet, good or over-trained, and why; recommends one, "
                "and what to change in a next run. Nothing is trained."
            ),
            search_aliases=["best checkpoint", "overfitting", "overtrained", "which epoch", "validation loss"],
            is_output_node=True,
            not_idempotent=True,
            inputs=[
                RunType.Input("run", tooltip="Of Train LoRA (Danlu) or Load Run (Danlu)."),
                io.Float.Input(
                    "tolerance",
                    default=0.15,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip=(
                        "How much of what was gained on held-out images may be lost again before a checkpoint counts "
                        "as over-trained."
                    ),
                    advanced=True,
                ),
            ],
            outputs=[
                io.String.Output("report", display_name="report", tooltip="What the node shows, as text."),
                io.Image.Output("curve", display_name="curve", tooltip="Losses by step, on the verdicts."),
                io.Int.Output("step", display_name="step", tooltip="The recommended one."),
                LoraModelType.Output("lora", display_name="lora", tooltip="The LoRA of that step."),
                CheckpointsType.Output(
                    "checkpoints", display_name="checkpoints", tooltip="Those of the run, to compare or to keep."
                ),
            ],
        )

    @classmethod
    def execute(cls, run: Any, tolerance: float) -> io.NodeOutput:
        from ..host.advising import advise_on_host

        found = advise_on_host(run, tolerance)
        images = ui.PreviewImage(found.curve).as_dict()["images"]
        return io.NodeOutput(
            found.report, found.curve, found.step, found.lora, run, ui={"text": [found.report], "images": images}
        )


class DanluKeepBest(io.ComfyNode):
    """Copies the recommended checkpoint to where the host lists LoRAs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluKeepBest",
            display_name="Keep Best (Danlu)",
            category=CATEGORY,
            description=(
                "Saves the checkpoint that the advisor recommends into models/loras, checked by loading it again, and "
                "pins it in its run. A run without a good one is an error."
            ),
            search_aliases=["save best", "best checkpoint", "export lora"],
            is_output_node=True,
            not_idempotent=True,
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            inputs=_keep_inputs(),
            outputs=[io.String.Output("path", display_name="path")],
        )

    @classmethod
    def validate_inputs(cls, name: str | None = None, subfolder: str | None = None) -> bool | str:
        """Runs when the graph is queued, before anything is trained; linked inputs come as None."""
        from .save import DanluSaveLoRA

        return DanluSaveLoRA.validate_inputs(name, subfolder)

    @classmethod
    def fingerprint_inputs(cls, **_inputs: Any) -> float:
        """Not a number, so that it runs at every queue: a file deleted since is written again, any other is kept."""
        return float("nan")

    @classmethod
    def execute(cls, checkpoints: Any, picture: Any = None, **options: Any) -> io.NodeOutput:
        from ..host.advising import keep_best_on_host
        from ..host.saving import Graph

        graph = Graph(cls.hidden.prompt, cls.hidden.extra_pnginfo)
        path, text = keep_best_on_host(checkpoints, **options, picture=picture, graph=graph)
        return io.NodeOutput(str(path), ui={"text": [text]})


def _keep_inputs() -> list[io.Input]:
    return [
        CheckpointsType.Input("checkpoints", tooltip="Of Train LoRA, Load Run or Advisor (Danlu)."),
        io.String.Input(
            "name",
            default="",
            placeholder="auto",
            tooltip="File name. Empty: the name given at the train node, with _best.",
        ),
        io.String.Input(
            "subfolder", default="danlu", tooltip="Folder below models/loras; made when it does not exist."
        ),
        io.Combo.Input(
            "format",
            options=["auto", "kohya", "comfy", "diffusers"],
            default="auto",
            tooltip="As on Save LoRA (Danlu).",
            advanced=True,
        ),
        io.Combo.Input(
            "dtype",
            options=["auto", "fp16", "bf16", "fp32"],
            default="auto",
            tooltip="As on Save LoRA (Danlu).",
            advanced=True,
        ),
        io.Image.Input("picture", optional=True, tooltip="What the LoRA does: its thumbnail in model browsers."),
    ]


NODES = [DanluAdvisor, DanluKeepBest]
