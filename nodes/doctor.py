"""What is wrong with a dataset, and heads cut out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io, ui

from ._dataset_ui import dataset_ui
from ._types import CATEGORY, DatasetType, RunType

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from ..dataset.model import Dataset


class DanluDoctor(io.ComfyNode):
    """Looks for faults in pictures and captions."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluDoctor",
            display_name="Dataset Doctor (Danlu)",
            category=CATEGORY,
            description=(
                "Says whether a dataset is ready to train on, what to look at first, and what to do about it: doubles, "
                "blur, bars, sizes and crops, captions, edit pairs; with a run, the images it found too hard or too "
                "easy. No file is changed."
            ),
            search_aliases=["check dataset", "duplicates", "blurry images", "bucket preview", "contact sheet", "lint"],
            is_output_node=True,
            inputs=_doctor_inputs(),
            outputs=[
                DatasetType.Output(
                    "dataset", display_name="dataset", tooltip="Without what 'drop' leaves out; files stay."
                ),
                io.Image.Output("pages", display_name="pages", tooltip="The findings and sizes, then contact sheets."),
                io.String.Output("report", display_name="report", tooltip="What the node shows, as text."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        dataset: Dataset,
        resolution: str,
        strictness: str,
        drop: str,
        run: Any = None,
        batch_size: int = 1,
        bucket_step: int = 64,
        pages: int = 3,
        order: str = "flagged first",
    ) -> io.NodeOutput:
        from ..doctor import sheet
        from ..doctor.diagnosis import Options, dropped, examine
        from ..doctor.losses import log_of
        from ..doctor.report import text
        from ..host.report import NodeReporter

        reporter = NodeReporter(cls.hidden.unique_id)

        def progress(done: int, total: int) -> None:
            reporter.check_interrupt()
            reporter.progress(done, total)

        log = None if run is None else log_of(run)
        diagnosis = examine(dataset, Options(resolution, bucket_step, batch_size, strictness, log), progress)
        kept, out = dropped(diagnosis, drop)
        report = text(diagnosis, out)
        reporter.text(report)
        images = _tensor(sheet.pages(diagnosis, pages, order, reporter.check_interrupt))
        return io.NodeOutput(kept, images, report, ui={"text": [report], "images": _shown(images), **dataset_ui(kept)})


class DanluFaceCrops(io.ComfyNode):
    """Close-ups of heads as a second set."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluFaceCrops",
            display_name="Face Crops (Danlu)",
            category=CATEGORY,
            description=(
                "Cuts the heads out of a dataset's images and adds them as close-ups, so that a face is learned in "
                "detail. Look at the numbers, and type those of bad crops into drop. The images themselves stay as "
                "they are."
            ),
            search_aliases=["face enhancement", "crop faces", "head crops", "face detection", "portrait"],
            is_input_list=True,
            is_output_node=True,
            not_idempotent=True,
            inputs=_face_inputs(),
            outputs=[
                DatasetType.Output("dataset", display_name="dataset", tooltip="The images, with the crops joined."),
                DatasetType.Output("crops", display_name="crops", tooltip="The crops alone."),
                io.Image.Output("pages", display_name="pages", tooltip="The crops with their numbers."),
                io.String.Output("report", display_name="report", tooltip="What the node shows, as text."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, dataset: list[Dataset], masks: list[Tensor] | None = None, **others: list[Any]) -> io.NodeOutput:
        """The host gives every input as a list, so that masks of different sizes can come in one."""
        from ..doctor.faces.cutting import Faces, cut_faces
        from ..host.paths import system_folder
        from ..host.report import NodeReporter

        reporter = NodeReporter(cls.hidden.unique_id)
        planes = [plane for mask in masks or () for plane in mask.reshape(-1, *mask.shape[-2:]).float().cpu().numpy()]
        faces = Faces(masks=tuple(planes) if masks else None, **{name: values[0] for name, values in others.items()})
        found = cut_faces(dataset[0], faces, system_folder() / "face_crops", reporter)
        images = _tensor(found.pages)
        shown = {"text": [found.report], "images": _shown(images), **dataset_ui(found.dataset)}
        return io.NodeOutput(found.dataset, found.crops, images, found.report, ui=shown)


def _tensor(pages: list[Image]) -> Tensor:
    """(pages, height, width, 3), 0 to 1."""
    import numpy as np
    import torch

    return torch.stack([torch.from_numpy(np.asarray(page, dtype=np.float32) / 255) for page in pages])


def _shown(images: Tensor) -> list[Any]:
    return ui.PreviewImage(images).as_dict()["images"]


def _doctor_inputs() -> list[io.Input]:
    return [
        DatasetType.Input("dataset", tooltip="Of Load Dataset or any later node; joined ones are looked at too."),
        io.String.Input(
            "resolution",
            default="auto",
            tooltip="The size that you train at, as on Encode Dataset (Danlu): auto, 512, or 512,768,1024.",
        ),
        io.Combo.Input(
            "strictness",
            options=["relaxed", "normal", "strict"],
            default="normal",
            tooltip="How much has to be wrong to be told.",
        ),
        io.Combo.Input(
            "drop",
            options=["none", "exact doubles", "all doubles", "everything flagged"],
            default="none",
            tooltip=(
                "What to leave out of the dataset that is handed on; one of each double stays. Files are never "
                "deleted. everything flagged: images with a problem or a thing to look at, not those whose caption "
                "alone is at fault."
            ),
        ),
        RunType.Input(
            "run",
            optional=True,
            tooltip="A run on these images: which of them it found much harder or easier than the others.",
        ),
        io.Int.Input(
            "batch_size",
            default=1,
            min=1,
            max=64,
            optional=True,
            advanced=True,
            tooltip="That you train with: sizes with fewer images are told.",
        ),
        io.Int.Input(
            "bucket_step",
            default=64,
            min=8,
            max=512,
            step=8,
            optional=True,
            advanced=True,
            tooltip="As on Encode Dataset (Danlu).",
        ),
        io.Int.Input(
            "pages",
            default=3,
            min=0,
            max=20,
            optional=True,
            advanced=True,
            tooltip="Contact sheets of 20 images each, at most.",
        ),
        io.Combo.Input(
            "order",
            options=["flagged first", "as in the dataset"],
            default="flagged first",
            optional=True,
            advanced=True,
            tooltip="Of the images on the contact sheets.",
        ),
    ]


def _face_inputs() -> list[io.Input]:
    return [
        DatasetType.Input("dataset", tooltip="Images with people or characters in them."),
        io.Combo.Input(
            "detector",
            options=["photo", "anime", "none"],
            default="photo",
            tooltip=(
                "photo: frontal faces, nothing to install. anime: needs the package animeface. none: only what "
                "masks and boxes say."
            ),
        ),
        io.Float.Input(
            "margin",
            default=0.5,
            min=0.0,
            max=3.0,
            step=0.05,
            tooltip="Room around the face on each side, as a share of its size. 0.5: the head; 1: head and shoulders.",
        ),
        io.Int.Input(
            "min_size",
            default=256,
            min=16,
            max=4096,
            tooltip="Crops with a side below this many pixels are left out: too little detail to learn from.",
        ),
        io.String.Input(
            "template",
            default="close-up portrait of [trigger]",
            tooltip=(
                "Caption of the crops. [trigger] stands for the dataset's trigger, [caption] for the whole image's own "
                "text."
            ),
        ),
        io.Float.Input(
            "weight",
            default=1.0,
            min=0.01,
            max=100.0,
            step=0.05,
            tooltip="How much a crop counts beside a whole image. 0.5: half as often.",
        ),
        io.String.Input(
            "drop",
            default="",
            placeholder="3, 7, 10-12",
            tooltip="Numbers of crops to leave out, as they stand on the pages.",
        ),
        io.Mask.Input(
            "masks",
            optional=True,
            tooltip=(
                "Faces as another detector found them: one mask for each image, in order. They go before 'detector'."
            ),
        ),
        io.Int.Input(
            "faces_per_picture",
            default=1,
            min=1,
            max=20,
            optional=True,
            advanced=True,
            tooltip="The largest ones are taken. Keep 1 where others stand beside your subject.",
        ),
        io.String.Input(
            "boxes",
            default="",
            multiline=True,
            placeholder="cat.png: 10, 20, 64, 64",
            optional=True,
            advanced=True,
            tooltip="Faces by hand: name: left, top, width, height in pixels, a line each. They go before all else.",
        ),
    ]


NODES = [DanluDoctor, DanluFaceCrops]
