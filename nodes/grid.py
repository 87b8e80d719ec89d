"""The end of a loop: every picture as soon as it is made, and all of them as one labelled picture."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ._types import CATEGORY, LoopType


class DanluGrid(io.ComfyNode):
    """Ends the loop of Train Loop (Danlu) or Sweep (Danlu); expands into its cells."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluGrid",
            display_name="Grid (Danlu)",
            category=CATEGORY,
            description=(
                "Ends a loop: shows each picture when it is made, saves it with its workflow below output/danlu, and "
                "draws all of them as one labelled picture."
            ),
            search_aliases=["xy plot", "image grid", "compare images", "contact sheet", "loop end"],
            is_output_node=True,
            not_idempotent=True,
            enable_expand=True,
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            inputs=[
                io.Image.Input("image", lazy=True, tooltip="What your nodes make of the loop's LoRA."),
                io.String.Input(
                    "label",
                    optional=True,
                    lazy=True,
                    force_input=True,
                    tooltip="What to write below a picture, beside the labels of its column and row.",
                ),
                LoopType.Input("loop", tooltip="Of Train Loop (Danlu) or Sweep (Danlu)."),
            ],
            outputs=[io.Image.Output("grid", display_name="grid", tooltip="All pictures with labels, on pages.")],
        )

    @classmethod
    def execute(cls, loop: Any, image: Any = None, label: Any = None) -> io.NodeOutput:
        """`image` and `label` are never evaluated: copies of what leads to them are, one a cell."""
        from ..host.loops import RunningLoop
        from ..host.saving import Graph
        from ..host.server import workflow_id

        texts = Graph(cls.hidden.prompt, cls.hidden.extra_pnginfo).metadata()
        graph = cls.hidden.dynprompt.get_original_prompt()
        workflow = workflow_id(cls.hidden.extra_pnginfo)
        found = RunningLoop.begin(loop, graph, str(cls.hidden.unique_id), texts, workflow).expanded()
        return io.NodeOutput(found.result, expand=found.nodes)


class DanluGridCell(io.ComfyNode):
    """One cell, when its turn has come."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return _inner(
            "DanluGridCell",
            "Cell (Danlu)",
            [
                io.Int.Input("number", default=0, min=0, max=1_000_000),
                io.AnyType.Input("previous", optional=True),
            ],
            io.AnyType.Output("done", display_name="done"),
            enable_expand=True,
            hidden=[io.Hidden.dynprompt],
        )

    @classmethod
    def execute(cls, running: Any, number: int, previous: Any = None) -> io.NodeOutput:
        from ..host.loops import Expansion

        found = running.turn(number, cls.hidden.dynprompt)
        if isinstance(found, Expansion):
            return io.NodeOutput(found.result, expand=found.nodes)
        return io.NodeOutput(number, ui={"images": found} if found else None)


class DanluGridStore(io.ComfyNode):
    """Stores and shows the picture of a cell."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return _inner(
            "DanluGridStore",
            "Store a Cell (Danlu)",
            [
                io.Int.Input("number", default=0, min=0, max=1_000_000),
                io.Image.Input("image"),
                io.String.Input("label", optional=True, force_input=True),
            ],
            io.AnyType.Output("done", display_name="done"),
            is_input_list=True,
        )

    @classmethod
    def execute(
        cls, running: list[Any], number: list[int], image: list[Any], label: Any = None, **after: Any
    ) -> io.NodeOutput:
        """`after`: what is done first, so that nodes that hang off the loop run within its cell."""
        entries = running[0].keep(number[0], image, str(label[0]) if label else "", after)
        return io.NodeOutput(number[0], ui={"images": entries})


class DanluGridPages(io.ComfyNode):
    """Draws the grid once all cells are there."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return _inner(
            "DanluGridPages",
            "Draw the Grid (Danlu)",
            [io.AnyType.Input("previous", optional=True)],
            io.Image.Output("grid", display_name="grid"),
        )

    @classmethod
    def execute(cls, running: Any, previous: Any = None) -> io.NodeOutput:
        pages, entries = running.pages()
        return io.NodeOutput(pages, ui={"images": entries})


class DanluGridHold(io.ComfyNode):
    """Keeps what the cells need of the nodes around them, where the host caches nothing: a model is loaded once."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return _inner(
            "DanluGridHold",
            "Hold Values (Danlu)",
            [],
            io.AnyType.Output("done", display_name="done"),
            is_input_list=True,
        )

    @classmethod
    def execute(cls, running: list[Any], **values: list[Any]) -> io.NodeOutput:
        running[0].held.update(values)
        return io.NodeOutput(0)


class DanluGridHeld(io.ComfyNode):
    """One of the values that are held."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return _inner(
            "DanluGridHeld",
            "Held Value (Danlu)",
            [io.String.Input("key")],
            io.AnyType.Output("value", display_name="value", is_output_list=True),
        )

    @classmethod
    def execute(cls, running: Any, key: str) -> io.NodeOutput:
        return io.NodeOutput(running.held[key])


def _inner(node_id: str, name: str, inputs: list[io.Input], output: io.Output, **options: Any) -> io.Schema:
    """A node that only grids make; its first input is the loop itself."""
    return io.Schema(
        node_id=node_id,
        display_name=name,
        category=CATEGORY,
        description="Used by Grid (Danlu) itself.",
        is_dev_only=True,
        inputs=[io.Custom("DANLU_RUNNING_LOOP").Input("running"), *inputs],
        outputs=[output],
        **options,
    )


NODES = [DanluGrid, DanluGridCell, DanluGridStore, DanluGridPages, DanluGridHold, DanluGridHeld]
