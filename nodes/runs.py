"""Runs that are on disk: one of them as a train node would give it, and room for more."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ._types import CATEGORY, CheckpointsType, LoraModelType, LossMapType, RunType

ACTIONS = ["list", "prune states", "prune checkpoints", "move to trash", "export"]


class DanluLoadRun(io.ComfyNode):
    """A run without its graph: nothing is trained, no model is needed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        from ..host.paths import NO_RUNS, run_labels

        return io.Schema(
            node_id="DanluLoadRun",
            display_name="Load Run (Danlu)",
            category=CATEGORY,
            description=(
                "Takes a run from disk, as Train LoRA would give it: to test, compare or save its checkpoints, or to "
                "go on with it. Nothing is trained."
            ),
            search_aliases=["load checkpoints", "resume", "history", "trained lora"],
            has_intermediate_output=True,
            inputs=[
                io.Combo.Input(
                    "run",
                    options=run_labels() or [NO_RUNS],
                    tooltip="Name and id; the one last used comes first. Press R to read the list anew.",
                ),
                io.Int.Input(
                    "step",
                    default=-1,
                    min=-1,
                    max=10_000_000,
                    tooltip="A checkpoint of the run: the outputs are as if it had ended there. -1: the last one.",
                ),
            ],
            outputs=[
                RunType.Output("run", display_name="run"),
                CheckpointsType.Output("checkpoints", display_name="checkpoints"),
                LoraModelType.Output("lora", display_name="lora"),
                LossMapType.Output("loss", display_name="loss"),
            ],
        )

    @classmethod
    def validate_inputs(cls, run: str | None = None) -> bool | str:
        """In place of the host's own check: a run may be newer than the list, or have got another name."""
        from ..errors import DanluError
        from ..host.paths import runs_folder
        from ..training.runs.overview import chosen

        try:
            if run is not None:
                chosen(runs_folder(), run)
        except DanluError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, run: str | None = None, step: int | None = None) -> Any:
        from ..errors import DanluError
        from ..host.runs import run_stamp

        try:
            return run_stamp(run or "", -1 if step is None else step)
        except DanluError:
            return float("nan")

    @classmethod
    def execute(cls, run: str, step: int) -> io.NodeOutput:
        from ..host.runs import load_run

        found = load_run(run, step)
        return io.NodeOutput(
            found.handle, found.handle, found.lora, {"loss": found.losses}, ui={"text": [found.report]}
        )


class DanluRuns(io.ComfyNode):
    """What all runs take on the disk, and what to do about it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        from ..host.paths import ALL_RUNS, run_labels

        return io.Schema(
            node_id="DanluRuns",
            display_name="Runs (Danlu)",
            category=CATEGORY,
            description=(
                "Lists the runs on disk with their sizes, makes room, or writes one into a file to go on with "
                "elsewhere. Pruning keeps every pinned checkpoint and the last one; a whole run is moved, not deleted."
            ),
            search_aliases=["disk space", "delete run", "prune", "export run", "clean up"],
            is_output_node=True,
            not_idempotent=True,
            inputs=[
                io.Combo.Input(
                    "action",
                    options=ACTIONS,
                    default="list",
                    tooltip=(
                        "prune states: keep only the newest, which a run goes on from. prune checkpoints: keep the "
                        "last and the pinned ones. move to trash: to user/__danlu/trash. export: one file in "
                        "output/danlu."
                    ),
                ),
                io.Combo.Input(
                    "run",
                    options=[ALL_RUNS, *run_labels()],
                    default=ALL_RUNS,
                    tooltip="Which run. move to trash and export want one.",
                ),
            ],
            outputs=[io.String.Output("report", display_name="report")],
        )

    @classmethod
    def validate_inputs(cls, action: str | None = None, run: str | None = None) -> bool | str:
        """In place of the host's own check: a run may be newer than the list, or have got another name."""
        from ..errors import DanluError
        from ..host.paths import ALL_RUNS, runs_folder
        from ..training.runs.overview import chosen

        if action is not None and action not in ACTIONS:
            return f"action: there is no '{action}'; there are {', '.join(ACTIONS)}."
        try:
            if run not in (None, ALL_RUNS):
                chosen(runs_folder(), run)
        except DanluError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, **_inputs: Any) -> float:
        """Not a number, so that it runs at every queue: runs change without any input of this node."""
        return float("nan")

    @classmethod
    def execute(cls, action: str, run: str) -> io.NodeOutput:
        from ..host.runs import look_after

        report = look_after(action, run)
        return io.NodeOutput(report, ui={"text": [report]})


class DanluImportRun(io.ComfyNode):
    """A run that was exported, here or on another machine."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluImportRun",
            display_name="Import Run (Danlu)",
            category=CATEGORY,
            description=(
                "Takes a run in from a file that Runs (Danlu) has exported, after checking every byte of it. The graph "
                "that made it goes on from where it was; a run that is here already stays as it is."
            ),
            search_aliases=["restore run", "move run", "another machine", "resume elsewhere"],
            is_output_node=True,
            not_idempotent=True,
            inputs=[
                io.String.Input(
                    "file",
                    default="",
                    placeholder="my_run_1a2b3c4d.zip",
                    tooltip="Its name, below ComfyUI's input or output folder (or danlu in one of them).",
                ),
            ],
            outputs=[
                RunType.Output("run", display_name="run"),
                CheckpointsType.Output("checkpoints", display_name="checkpoints"),
            ],
        )

    @classmethod
    def validate_inputs(cls, file: str | None = None) -> bool | str:
        from ..errors import DanluError
        from ..host.runs import archive

        try:
            if file is not None:
                archive(file)
        except DanluError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, **_inputs: Any) -> float:
        """Not a number, so that it runs at every queue: the run may have gone on, or have been thrown away."""
        return float("nan")

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        from ..host.runs import take_in

        found = take_in(file)
        return io.NodeOutput(found.handle, found.handle, ui={"text": [found.report]})


NODES = [DanluLoadRun, DanluRuns, DanluImportRun]
