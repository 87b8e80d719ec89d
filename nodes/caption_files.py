"""Writing captions to files without losing any, and taking that back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ._dataset_ui import dataset_ui
from ._types import CATEGORY, DatasetType

if TYPE_CHECKING:
    from ..dataset.model import Dataset


class DanluSaveCaptions(io.ComfyNode):
    """Writes the final texts, each old text into a journal first."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluSaveCaptions",
            display_name="Save Captions (Danlu)",
            category=CATEGORY,
            description=(
                "Writes captions beside their pictures. Texts that are there already are not touched unless you say "
                "so, and every change can be taken back by Undo Captions (Danlu), byte for byte."
            ),
            search_aliases=["save text", "write txt", "export captions", "metadata.csv", "metadata.jsonl", "sidecar"],
            is_output_node=True,
            not_idempotent=True,
            hidden=[io.Hidden.unique_id],
            inputs=_save_inputs(),
            outputs=[
                DatasetType.Output("dataset", display_name="dataset", tooltip="The dataset, knowing its new files."),
                io.String.Output("report", display_name="report", tooltip="What was written, and what was left."),
            ],
        )

    @classmethod
    def validate_inputs(cls, folder: str | None = None) -> bool | str:
        """Runs when the graph is queued, before anything is captioned; linked inputs come as None."""
        from ..captioning.places import below
        from ..errors import DanluError
        from ..host.folders import output_folder

        try:
            if folder:
                below(output_folder(), folder)
        except DanluError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, **_inputs: Any) -> float:
        """Not a number, so that it runs at every queue: a file deleted since is written again, any other is kept."""
        return float("nan")

    @classmethod
    def execute(cls, dataset: Dataset, **options: Any) -> io.NodeOutput:
        from ..captioning.writing import SaveRequest, save_captions
        from ..host.folders import caption_places
        from ..host.report import NodeReporter

        request = SaveRequest(places=caption_places(), **options)
        reporter = NodeReporter(cls.hidden.unique_id)
        saved = save_captions(dataset, request, reporter)
        text = saved.text()
        reporter.text(text)
        return io.NodeOutput(saved.dataset, text, ui={"text": [text], **dataset_ui(saved.dataset)})


class DanluUndoCaptions(io.ComfyNode):
    """Restores what Save Captions has changed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluUndoCaptions",
            display_name="Undo Captions (Danlu)",
            category=CATEGORY,
            description=(
                "Takes back what Save Captions (Danlu) did last in a folder, byte for byte, and removes the files it "
                "made. Texts that were changed since are left as they are. Queued twice, it undoes once."
            ),
            search_aliases=["restore captions", "revert", "caption backup"],
            is_output_node=True,
            not_idempotent=True,
            hidden=[io.Hidden.unique_id],
            inputs=_undo_inputs(),
            outputs=[
                io.String.Output("report", display_name="report", tooltip="What was restored, and what was left.")
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **_inputs: Any) -> float:
        """Not a number, so that it runs at every queue."""
        return float("nan")

    @classmethod
    def execute(cls, folder: str, run: str, apply: bool, dataset: Dataset | None = None) -> io.NodeOutput:
        from ..captioning.undo import undo_captions, undo_folders
        from ..host.folders import caption_places, dataset_roots, output_folder
        from ..host.report import NodeReporter

        roots = (*dataset_roots(), output_folder())
        folders = undo_folders(folder, dataset, roots, caption_places())
        reporter = NodeReporter(cls.hidden.unique_id)
        text = undo_captions(folders, run, apply, reporter).text()
        reporter.text(text)
        return io.NodeOutput(text, ui={"text": [text]})


def _save_inputs() -> list[io.Input]:
    return [
        DatasetType.Input("dataset", tooltip="From Compose Captions or Caption Dataset (Danlu)."),
        io.Combo.Input(
            "policy",
            options=["skip", "fill_empty", "append", "prepend", "replace"],
            default="skip",
            tooltip=(
                "What happens to texts that are there. skip: nothing, even to empty ones; fill_empty: empty ones are "
                "filled; append, prepend: the new text is added; replace: texts that Danlu wrote and nobody has "
                "edited are replaced. Pictures without a text get theirs always."
            ),
        ),
        io.Combo.Input(
            "format",
            options=[".txt", ".caption", "metadata.csv", "metadata.jsonl"],
            default=".txt",
            tooltip=(
                "A file for each picture, or one table for the folder; a table that is there keeps its other rows and "
                "columns. A picture that has a text file keeps that one."
            ),
        ),
        io.String.Input(
            "folder",
            default="",
            placeholder="beside the pictures",
            optional=True,
            tooltip="Empty: beside the pictures. Else a folder below ComfyUI's output folder.",
        ),
        io.Boolean.Input(
            "replace_yours",
            default=False,
            optional=True,
            advanced=True,
            tooltip=(
                "With replace: also texts that you wrote or edited. With append and prepend: also add to texts of "
                "Danlu's that you edited. Undo Captions (Danlu) brings them back."
            ),
        ),
        io.Boolean.Input(
            "dry_run",
            default=False,
            optional=True,
            advanced=True,
            tooltip="Only say what would be written.",
        ),
    ]


def _undo_inputs() -> list[io.Input]:
    return [
        io.String.Input(
            "folder",
            default="",
            placeholder="the folder of the dataset",
            tooltip="Folder of the captions, as for Load Dataset (Danlu). Empty: that of the wired dataset.",
        ),
        io.String.Input(
            "run",
            default="",
            placeholder="the last one",
            tooltip=(
                "Which run to take back; Save Captions and this node tell their names. Empty: what was saved last. "
                "The name of an undo brings back what it took."
            ),
        ),
        io.Boolean.Input(
            "apply", default=False, tooltip="Off: only list the runs, and what would be restored. On: restore it."
        ),
        DatasetType.Input("dataset", optional=True, tooltip="A dataset whose captions were saved, instead of folder."),
    ]


NODES = [DanluSaveCaptions, DanluUndoCaptions]
