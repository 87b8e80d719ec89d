"""Saving LoRAs where the host's loaders list them."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ._types import CATEGORY, CheckpointsType, LoraModelType


class DanluSaveLoRA(io.ComfyNode):
    """Writes safetensors with metadata into models/loras and reads every file back through the host."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluSaveLoRA",
            display_name="Save LoRA (Danlu)",
            category=CATEGORY,
            description=(
                "Saves a LoRA, or all checkpoints of a run, into models/loras, and checks each file by loading it "
                "again. A different file of the same name is never overwritten."
            ),
            search_aliases=["export lora", "safetensors", "save checkpoint"],
            is_output_node=True,
            not_idempotent=True,
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            inputs=_inputs(),
            outputs=[io.String.Output("path", display_name="path")],
        )

    @classmethod
    def validate_inputs(cls, name: str | None = None, subfolder: str | None = None) -> bool | str:
        """Runs when the graph is queued, before anything is trained; linked inputs come as None."""
        from ..errors import DanluError
        from ..host.paths import loras_folder
        from ..training.files import checked_name, target_folder

        try:
            if name:
                checked_name(name, "name")
            if subfolder:
                target_folder(loras_folder(), subfolder)
        except DanluError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, **_inputs: Any) -> float:
        """Not a number, so that it runs at every queue: a file deleted since is written again, any other is kept."""
        return float("nan")

    @classmethod
    def execute(cls, lora: Any = None, checkpoints: Any = None, **options: Any) -> io.NodeOutput:
        from ..host.saving import Graph, save_on_host

        graph = Graph(cls.hidden.prompt, cls.hidden.extra_pnginfo)
        paths = save_on_host(lora, checkpoints, graph=graph, **options)
        return io.NodeOutput(str(paths[-1]), ui={"text": ["\n".join(map(str, paths))]})


def _inputs() -> list[io.Input]:
    return [
        io.String.Input(
            "name", default="", tooltip="File name. Empty: the name given at the train node.", placeholder="auto"
        ),
        io.String.Input(
            "subfolder", default="danlu", tooltip="Folder below models/loras; made when it does not exist."
        ),
        io.Combo.Input(
            "which",
            options=["final", "all", "recommended"],
            default="final",
            tooltip=(
                "final: the LoRA of the last step. all: every checkpoint, each with its step in the name. recommended: "
                "the one that the advisor recommends."
            ),
        ),
        io.Combo.Input(
            "format",
            options=["auto", "kohya", "comfy", "diffusers"],
            default="auto",
            tooltip=(
                "Names of the layers; ComfyUI reads them all. auto: kohya for SD1.5, SD2, SDXL and Flux.1, as other "
                "programs want it, else ComfyUI's own. diffusers: for diffusers and peft, plain LoRA only."
            ),
            advanced=True,
        ),
        io.Combo.Input(
            "dtype",
            options=["auto", "fp16", "bf16", "fp32"],
            default="auto",
            tooltip="Number format of the file. auto: fp16 for SD1.5, SD2 and SDXL, else bf16.",
            advanced=True,
        ),
        LoraModelType.Input("lora", optional=True, tooltip="The LoRA to save."),
        CheckpointsType.Input("checkpoints", optional=True, tooltip="The checkpoints of a run, instead of one LoRA."),
        io.Image.Input(
            "picture",
            optional=True,
            tooltip=(
                "What the LoRA does: its thumbnail in model browsers. Drop the picture that lies beside the file, or "
                "the file itself, onto ComfyUI to get this graph back."
            ),
        ),
    ]


NODES = [DanluSaveLoRA]
