"""Datasets from several places, and pictures of other nodes in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ._dataset_ui import dataset_ui
from ._sheet import sheet_of
from ._types import CATEGORY, DatasetType

if TYPE_CHECKING:
    import torch

    from ..dataset.model import Dataset

ROLES = ["train", "regularisation", "validation"]
PREFIX = "dataset"
MOST_JOINED = 50
MOST_BYTES = 8 << 30
"""Of pictures that are in memory at once."""


class DanluJoinDatasets(io.ComfyNode):
    """Several datasets as one, each with its weight, role and trigger."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        datasets = io.Autogrow.TemplatePrefix(DatasetType.Input("dataset"), prefix=PREFIX, min=1, max=MOST_JOINED)
        return io.Schema(
            node_id="DanluJoinDatasets",
            display_name="Join Datasets (Danlu)",
            category=CATEGORY,
            description=(
                "Joins any number of datasets into one. Each keeps its own captions, trigger and role, and counts by "
                "its weight. A new socket appears when the last one is wired."
            ),
            search_aliases=["merge datasets", "concat", "combine folders", "multiple concepts", "dataset weights"],
            inputs=[
                io.Autogrow.Input(
                    "datasets", template=datasets, tooltip="The datasets; a new socket appears with each wire."
                ),
                *_join_inputs(),
            ],
            outputs=[
                DatasetType.Output(
                    "dataset", display_name="dataset", tooltip="For Encode Dataset (Danlu), and for all that takes one."
                )
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls, datasets: io.Autogrow.Type, weights: str = "", roles: str = "", triggers: str = ""
    ) -> io.NodeOutput:
        from ..dataset.joining import by_socket, described, join, parse_roles, parse_triggers, parse_weights
        from ..host.report import NodeReporter

        joined = join(by_socket(datasets, PREFIX), parse_weights(weights), parse_roles(roles), parse_triggers(triggers))
        text = described(joined)
        NodeReporter(cls.hidden.unique_id).text(text)
        return io.NodeOutput(joined, ui={"text": [text], **dataset_ui(joined)})


class DanluDatasetFromImages(io.ComfyNode):
    """IMAGE and STRING lists of other nodes as a dataset."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluDatasetFromImages",
            display_name="Dataset from Images (Danlu)",
            category=CATEGORY,
            description=(
                "Makes a dataset out of images of any other node: a batch, a list, or a list of batches. They are "
                "kept as .png files in ComfyUI's user folder, each set once."
            ),
            search_aliases=[
                "images to dataset",
                "image list",
                "batch to dataset",
                "captions list",
                "generated dataset",
            ],
            inputs=_from_inputs(),
            outputs=[DatasetType.Output("dataset", display_name="dataset", tooltip="For Encode Dataset (Danlu).")],
            hidden=[io.Hidden.unique_id],
            is_input_list=True,
            not_idempotent=True,
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        images: list[torch.Tensor],
        captions: list[Any] | None = None,
        masks: list[torch.Tensor] | None = None,
        **labels: list[Any],
    ) -> io.NodeOutput:
        from ..dataset.made import Labels, dataset_of_images
        from ..host.paths import system_folder
        from ..host.report import NodeReporter

        pictures = [image.float().cpu().numpy() for batch in images for image in batch]
        whites = [
            mask.float().cpu().numpy() for batch in masks or () for mask in (batch if batch.ndim > 2 else [batch])
        ]
        chosen = Labels(**{name: values[0] for name, values in labels.items()})
        dataset = dataset_of_images(pictures, _texts(captions), whites, system_folder() / "images", chosen)
        text = dataset.report.text()
        NodeReporter(cls.hidden.unique_id).text(text)
        return io.NodeOutput(dataset, ui={"images": sheet_of(dataset), "text": [text], **dataset_ui(dataset)})


class DanluDatasetToImages(io.ComfyNode):
    """A dataset's pictures as IMAGE and STRING lists."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluDatasetToImages",
            display_name="Dataset to Images (Danlu)",
            category=CATEGORY,
            description=(
                "Gives pictures of a dataset, with their captions and names, to nodes of any pack: to upscale, crop, "
                "repair or look at them. Dataset from Images (Danlu) makes a dataset of what comes out."
            ),
            search_aliases=["dataset images", "image list", "captions list", "preview dataset", "load image batch"],
            inputs=[
                DatasetType.Input("dataset", tooltip="The dataset. Of videos, the first frame is taken."),
                io.Int.Input("start", default=0, min=0, max=1_000_000, tooltip="The first picture, counted from 0."),
                io.Int.Input(
                    "count",
                    default=16,
                    min=1,
                    max=10_000,
                    tooltip="How many pictures at most. All of them are in memory at once.",
                ),
            ],
            outputs=[
                io.Image.Output("images", display_name="images", is_output_list=True, tooltip="One by one, upright."),
                io.String.Output(
                    "captions",
                    display_name="captions",
                    is_output_list=True,
                    tooltip="The text that the trainer sees of each, trigger included.",
                ),
                io.String.Output("names", display_name="names", is_output_list=True, tooltip="Their file names."),
                io.Mask.Output(
                    "masks",
                    display_name="masks",
                    is_output_list=True,
                    tooltip="White is learned. All white where a picture has no mask.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, dataset: Dataset, start: int = 0, count: int = 16) -> io.NodeOutput:
        from ..dataset.made import check_memory, chosen, opened_pictures
        from ..host.report import NodeReporter

        reporter = NodeReporter(cls.hidden.unique_id)
        pictures = chosen(dataset, start, count)
        check_memory(pictures, MOST_BYTES)
        images, masks = [], []
        for number, (image, mask) in enumerate(opened_pictures(pictures)):
            reporter.check_interrupt()
            reporter.progress(number, len(pictures))
            images.append(_tensor(image))
            masks.append(_tensor(mask))
        total = sum(len(part.pictures) for part in dataset.parts())
        reporter.text(f"{start} to {start + len(pictures) - 1} of {total} images")
        return io.NodeOutput(images, [p.caption for p in pictures], [p.name for p in pictures], masks)


def _join_inputs() -> list[io.Input]:
    return [
        io.String.Input(
            "weights",
            default="",
            placeholder="1, 0.5",
            optional=True,
            tooltip=(
                "How much each picture of a dataset counts, in the order of the sockets: 1, 0.5 shows each picture of "
                "the second half as often. Times the weight on Load Dataset (Danlu)."
            ),
        ),
        io.String.Input(
            "roles",
            default="",
            placeholder="train, regularisation",
            optional=True,
            advanced=True,
            tooltip=(
                "train, regularisation or validation for each dataset, in the order of the sockets. Empty: as each "
                "Load Dataset (Danlu) says."
            ),
        ),
        io.String.Input(
            "triggers",
            default="",
            multiline=True,
            placeholder="one line for each dataset",
            optional=True,
            advanced=True,
            tooltip=(
                "Another trigger for each dataset, one a line, in the order of the sockets; it takes the place of the "
                "old one in the captions. An empty line: as it is."
            ),
        ),
    ]


def _from_inputs() -> list[io.Input]:
    return [
        io.Image.Input("images", tooltip="Images of any node: a batch, a list, or a list of batches."),
        io.String.Input(
            "captions",
            force_input=True,
            optional=True,
            tooltip="One text for each image, or one for all of them. May contain [trigger].",
        ),
        io.Mask.Input(
            "masks",
            optional=True,
            tooltip=(
                "One for each image, or one for all: white is learned. Load Image gives transparent parts as white: "
                "put Invert Mask between."
            ),
        ),
        io.String.Input(
            "trigger",
            default="",
            placeholder="a word for what you train",
            optional=True,
            tooltip="The word that will call what you train, as on Load Dataset (Danlu).",
        ),
        io.String.Input(
            "name",
            default="",
            placeholder="a name for the folder",
            optional=True,
            advanced=True,
            tooltip="A name for the folder that the images are kept in.",
        ),
        io.Int.Input(
            "repeats",
            default=1,
            min=1,
            max=10000,
            optional=True,
            advanced=True,
            tooltip="How often each image counts in one epoch.",
        ),
        io.Combo.Input(
            "role",
            options=ROLES,
            default="train",
            optional=True,
            advanced=True,
            tooltip=(
                "train: what the LoRA learns. regularisation: what the model shall go on drawing as before. "
                "validation: images that show how well it is learned."
            ),
        ),
        io.String.Input(
            "class_word",
            default="",
            placeholder="what it is, e.g. boy",
            optional=True,
            advanced=True,
            tooltip="What the subject is without its trigger, as on Load Dataset (Danlu).",
        ),
        io.Float.Input(
            "weight",
            default=1.0,
            min=0.001,
            max=1000.0,
            step=0.05,
            optional=True,
            advanced=True,
            tooltip="How much each image counts beside those of other datasets, at Join Datasets (Danlu).",
        ),
    ]


def _texts(captions: list[Any] | None) -> list[str]:
    """Some nodes give several texts as one list inside of the list."""
    flat = [text for value in captions or () for text in (value if isinstance(value, (list, tuple)) else [value])]
    return [str(text) for text in flat]


def _tensor(pixels: Any) -> torch.Tensor:
    """8-bit (height, width[, 3]) as the host wants it: a batch of one, float32 in 0..1."""
    import numpy as np
    import torch

    return torch.from_numpy(np.asarray(pixels, dtype=np.float32) / 255)[None]


NODES = [DanluJoinDatasets, DanluDatasetFromImages, DanluDatasetToImages]
