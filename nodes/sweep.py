"""Comparing checkpoints through the user's own graph, one cell at a time."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ._types import CATEGORY, CheckpointsType, LoopType, LoraModelType


class DanluSweep(io.ComfyNode):
    """Start of a loop over checkpoints, strengths, prompts, seeds and pictures; Grid (Danlu) ends it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluSweep",
            display_name="Sweep (Danlu)",
            category=CATEGORY,
            description=(
                "Runs the nodes between this one and Grid (Danlu) for each checkpoint, strength, prompt, seed and "
                "picture, one after the other. What is done stays on disk: a stopped sweep goes on where it was."
            ),
            search_aliases=["xy plot", "xyz plot", "compare loras", "lora grid", "checkpoints"],
            is_input_list=True,
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            inputs=_inputs(),
            outputs=[
                LoopType.Output("loop", display_name="loop", tooltip="For Grid (Danlu)."),
                LoraModelType.Output("lora", display_name="lora", tooltip="For Apply LoRA (Danlu) or Load LoRA Model."),
                io.Float.Output("strength", display_name="strength"),
                io.String.Output("prompt", display_name="prompt"),
                io.Int.Output("seed", display_name="seed"),
                io.Image.Output("image", display_name="image", tooltip="One of images, where they are wired."),
                io.String.Output("label", display_name="label"),
            ],
        )

    @classmethod
    def validate_inputs(cls, strengths: Any = None, seeds: Any = None) -> bool | str:
        """Runs when the graph is queued; linked inputs come as None."""
        from ..errors import DanluError
        from ..sweep.cells import numbers, whole_numbers

        try:
            for text in _listed(strengths):
                numbers(text, "strengths")
            for text in _listed(seeds):
                whole_numbers(text, "seeds")
        except DanluError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, **_inputs: Any) -> float:
        """Not a number, so that it runs at every queue: a picture that was thrown away is made again."""
        return float("nan")

    @classmethod
    def execute(cls, checkpoints: list[Any], prompts: list[str], **inputs: list[Any]) -> io.NodeOutput:
        from ..errors import DanluError
        from ..host.loop_plans import sweep_on_host
        from ..host.loops import has_grid, nothing

        prompt, node_id = cls.hidden.dynprompt, cls.hidden.unique_id
        if not has_grid(prompt.get_original_prompt(), node_id):
            raise DanluError("loop: no Grid (Danlu) is wired to this node, so nothing would be made.")
        pictures: dict[str, Any] = {name: inputs.pop(name, []) for name in ("images", "truths")}
        settings: dict[str, Any] = {name: value[0] for name, value in inputs.items()}
        source = prompt.get_node(node_id)["inputs"].get("images")
        plan = sweep_on_host(checkpoints[0], prompts=prompts, source=source, **pictures, **settings)
        # A grid that takes the label as it is would be blocked with it.
        return io.NodeOutput(plan, *[nothing()] * 5, "")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value is not None else []


def _inputs() -> list[io.Input]:
    return [
        CheckpointsType.Input(
            "checkpoints", tooltip="Of Train LoRA (Danlu), Load Run (Danlu) or Checkpoints from Folder (Danlu)."
        ),
        io.String.Input(
            "strengths",
            default="1.0, 0.8, 0.6",
            tooltip="All checkpoints at the one nearest to 1.0 first, then the others as strengths_for says.",
        ),
        io.String.Input(
            "prompts",
            multiline=True,
            default="",
            placeholder="one prompt a line",
            tooltip=(
                "One a line, or a list of texts from another node; [trigger] stands for the word that was trained. "
                "Wire the output prompt to your text encoder."
            ),
        ),
        io.String.Input(
            "seeds", default="0", tooltip="Whole numbers, separated by commas. The same for every checkpoint."
        ),
        io.Boolean.Input("with_base", default=True, tooltip="A first column without a LoRA, to see what it changes."),
        io.Combo.Input(
            "strengths_for",
            options=["best two", "all"],
            default="best two",
            tooltip=(
                "Which checkpoints get the other strengths. best two: those that the advisor recommends, else the "
                "last two."
            ),
        ),
        io.Image.Input(
            "images", optional=True, tooltip="Pictures to edit, for LoRAs that edit; shown in a column before."
        ),
        io.Image.Input("truths", optional=True, tooltip="How each of images should come out; shown in a column truth."),
    ]


class DanluCheckpointsFromFolder(io.ComfyNode):
    """LoRA files of any tool as checkpoints."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluCheckpointsFromFolder",
            display_name="Checkpoints from Folder (Danlu)",
            category=CATEGORY,
            description="Takes the LoRA files of a folder as checkpoints to compare, whichever tool has trained them.",
            search_aliases=["load loras", "lora folder", "kohya", "ai-toolkit"],
            inputs=[
                io.String.Input(
                    "folder", default="", placeholder="danlu", tooltip="A folder below models/loras. Empty: that one."
                ),
                io.String.Input(
                    "pattern",
                    default="*",
                    tooltip="Which .safetensors files of it, such as my_lora*: * stands for any letters.",
                ),
            ],
            outputs=[CheckpointsType.Output("checkpoints", display_name="checkpoints", tooltip="For Sweep (Danlu).")],
        )

    @classmethod
    def fingerprint_inputs(cls, folder: str | None = None, pattern: str | None = None) -> list[Any]:
        """Another file in the folder is another list; linked inputs come as None."""
        from ..host.loop_files import folder_stamp

        return folder_stamp(folder or "", pattern or "")

    @classmethod
    def execute(cls, folder: str, pattern: str) -> io.NodeOutput:
        from ..host.loop_files import checkpoints_from

        return io.NodeOutput(checkpoints_from(folder, pattern))


class DanluSweepLora(io.ComfyNode):
    """A LoRA of a cell; its tensors stay on disk until they are used."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluSweepLora",
            display_name="LoRA of a Cell (Danlu)",
            category=CATEGORY,
            description="Used by Sweep (Danlu) itself.",
            is_dev_only=True,
            inputs=[io.String.Input("file"), io.String.Input("identity")],
            outputs=[LoraModelType.Output("lora", display_name="lora")],
        )

    @classmethod
    def execute(cls, file: str, identity: str) -> io.NodeOutput:
        """`identity` makes another content another node to the host; an empty `file` is a LoRA that does nothing."""
        from ..host.loop_files import mapped_lora

        return io.NodeOutput(mapped_lora(file) if file else {})


class DanluSweepPicture(io.ComfyNode):
    """One of the pictures of a sweep."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluSweepPicture",
            display_name="Picture of a Cell (Danlu)",
            category=CATEGORY,
            description="Used by Sweep (Danlu) itself.",
            is_dev_only=True,
            is_input_list=True,
            inputs=[io.Image.Input("images"), io.Int.Input("number", default=0, min=0, max=1_000_000)],
            outputs=[io.Image.Output("image", display_name="image")],
        )

    @classmethod
    def execute(cls, images: list[Any], number: list[int]) -> io.NodeOutput:
        pictures = [batch[n : n + 1] for batch in images for n in range(len(batch))]
        return io.NodeOutput(pictures[number[0]])


NODES = [DanluSweep, DanluCheckpointsFromFolder, DanluSweepLora, DanluSweepPicture]
