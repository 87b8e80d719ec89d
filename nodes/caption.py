"""A captioner over a whole dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ._dataset_ui import dataset_ui
from ._types import CATEGORY, CaptionerType, DatasetType

if TYPE_CHECKING:
    from ..captioning.captioner import Captioner
    from ..dataset.model import Dataset, Picture


class DanluCaptionDataset(io.ComfyNode):
    """Fills the captions of a dataset; Save Captions (Danlu) writes them to files."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluCaptionDataset",
            display_name="Caption Dataset (Danlu)",
            category=CATEGORY,
            description=(
                "Lets a captioner describe all pictures that have no caption. Each text is kept at once: stopped or "
                "crashed, the next queue does only the rest. No file beside your pictures changes: wire the result "
                "to Compose Captions and Save Captions (Danlu)."
            ),
            search_aliases=["batch caption", "caption folder", "auto caption", "tag dataset", "image to text"],
            inputs=_inputs(),
            outputs=[
                DatasetType.Output(
                    "dataset", display_name="dataset", tooltip="For Compose Captions or Encode Dataset (Danlu)."
                ),
                io.String.Output(
                    "report", display_name="report", tooltip="Done, skipped, failed, to look at, and the captions."
                ),
            ],
            hidden=[io.Hidden.unique_id],
            not_idempotent=True,
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        dataset: Dataset,
        captioner: Captioner,
        which: str = "only without a caption",
        seed: int = 0,
        batch_size: int = 0,
        caption_from: str = "after",
        keep_loaded: bool = True,
    ) -> io.NodeOutput:
        from ..captioning.dataset import CaptionOptions, caption_dataset
        from ..host.paths import system_folder
        from ..host.report import NodeReporter

        reporter = NodeReporter(cls.hidden.unique_id)
        options = CaptionOptions(which, caption_from, seed, batch_size)
        try:
            captioned, report = caption_dataset(dataset, captioner, options, system_folder() / "captions", reporter)
        finally:
            if not keep_loaded:
                captioner.release()
        text = report.text()
        reporter.text(text)
        shown = {"images": _sheet(captioned, report.shown), "text": [text], **dataset_ui(captioned)}
        return io.NodeOutput(captioned, text, ui=shown)


def _inputs() -> list[io.Input]:
    return [
        DatasetType.Input("dataset", tooltip="From Load Dataset (Danlu)."),
        CaptionerType.Input("captioner", tooltip="From Florence-2, JoyCaption or another captioner (Danlu)."),
        io.Combo.Input(
            "which",
            options=["only without a caption", "all"],
            default="only without a caption",
            optional=True,
            tooltip=(
                "all: also pictures that have a caption; its text is then replaced in the dataset, not in your files."
            ),
        ),
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=False,
            optional=True,
            tooltip="For captioners that draw their words: another seed, other texts. Each picture draws for itself.",
        ),
        io.Int.Input(
            "batch_size",
            default=0,
            min=0,
            max=256,
            optional=True,
            advanced=True,
            tooltip="Pictures at a time. 0: auto. Halved by itself where memory is short; texts do not depend on it.",
        ),
        io.Combo.Input(
            "caption_from",
            options=["after", "before", "both"],
            default="after",
            optional=True,
            advanced=True,
            tooltip="For before/after pairs: which picture is described. Compose Captions (Danlu) can use both.",
        ),
        io.Boolean.Input(
            "keep_loaded",
            default=True,
            optional=True,
            advanced=True,
            tooltip=(
                "On: the model stays in memory for the next queue until something else needs the room. Off: it is "
                "dropped as soon as the captions are done."
            ),
        ),
    ]


def _sheet(dataset: Dataset, shown: list[Any]) -> list[Any]:
    """Pictures over their captions: what is new, else the first of the dataset."""
    from uuid import uuid4

    from ..captioning.run import SHEET, SHEET_SIDE
    from ..captioning.sheet import captioned_sheet
    from ..host.report import preview

    if not shown:
        pictures = [picture for part in dataset.parts() for picture in part.pictures][:SHEET]
        shown = [(_opened(picture, SHEET_SIDE), picture.caption) for picture in pictures]
    return [preview(captioned_sheet(shown), f"danlu_captions_{uuid4().hex}", "jpg")]


def _opened(picture: Picture, side: int) -> Any:
    """A grey square where a file has become unreadable: the report tells of it."""
    from PIL import Image

    from ..dataset.clips import first_frame
    from ..dataset.images import UnreadableImage, open_rgb

    try:
        return first_frame(picture.path) if picture.clip else open_rgb(picture.path, at_least=side)
    except (UnreadableImage, OSError):
        return Image.new("RGB", (side, side), (64, 64, 64))


NODES = [DanluCaptionDataset]
