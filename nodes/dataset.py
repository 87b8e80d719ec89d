"""Loading a dataset from disk, and encoding it for training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ._clip_inputs import clip_inputs
from ._dataset_ui import dataset_ui
from ._pair_inputs import pair_inputs
from ._sheet import sheet_of
from ._types import CATEGORY, DatasetType, TrainingDataType

if TYPE_CHECKING:
    from ..dataset.model import Dataset

CAPTIONS = ["auto", "txt", "filename", "none", "metadata"]


class DanluLoadDataset(io.ComfyNode):
    """Reads a folder (or a .zip) of pictures and captions."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluLoadDataset",
            display_name="Load Dataset (Danlu)",
            category=CATEGORY,
            description=(
                "Loads pictures and their captions from a folder or a .zip file. Drop pictures, a folder or a "
                ".zip onto the node, or type a folder. Captions are .txt files named like their pictures."
            ),
            search_aliases=["load images", "image folder", "training images", "lora dataset", "captions"],
            inputs=_load_inputs(),
            outputs=[DatasetType.Output("dataset", display_name="dataset", tooltip="For Encode Dataset (Danlu).")],
            hidden=[io.Hidden.unique_id],
            not_idempotent=True,
            has_intermediate_output=True,
        )

    @classmethod
    def fingerprint_inputs(cls, folder: str, **others: Any) -> str:
        """Runs again when a picture or a caption file on disk has changed."""
        from ..dataset.scan import fingerprint
        from ..errors import DanluError
        from ..host.datasets import request_of

        try:
            return fingerprint(request_of(folder, **others))
        except DanluError as error:  # execute will say it on the node
            return str(error)

    @classmethod
    def execute(cls, folder: str, **others: Any) -> io.NodeOutput:
        from ..host.datasets import load, request_of
        from ..host.report import NodeReporter

        reporter = NodeReporter(cls.hidden.unique_id)

        def progress(done: int, total: int) -> None:
            reporter.check_interrupt()
            reporter.progress(done, total)

        dataset = load(request_of(folder, **others), progress)
        reporter.text(dataset.report.text())
        shown = {"images": sheet_of(dataset), "text": [dataset.report.text()], **dataset_ui(dataset)}
        return io.NodeOutput(dataset, ui=shown)


class DanluEncodeDataset(io.ComfyNode):
    """Pictures to latents, captions to conditionings, once each."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluEncodeDataset",
            display_name="Encode Dataset (Danlu)",
            category=CATEGORY,
            description=(
                "Prepares a dataset for training: sorts the pictures into sizes, encodes them with the VAE and "
                "their captions with the text encoder. What was encoded before is read from disk."
            ),
            search_aliases=["vae encode dataset", "latents", "buckets", "aspect ratio", "lora dataset"],
            inputs=_encode_inputs(),
            outputs=[
                TrainingDataType.Output(
                    "training_data", display_name="training_data", tooltip="For Train LoRA (Danlu)."
                )
            ],
            hidden=[io.Hidden.unique_id],
            not_idempotent=True,
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        dataset: Dataset,
        vae: Any,
        clip: Any,
        resolution: str = "auto",
        bucket_step: int = 64,
        flip: bool = False,
        upscale_small: bool = False,
        regularisation: Dataset | None = None,
        shuffle_tags: bool = False,
        keep_tokens: int = 0,
        caption_variants: int = 8,
        validation: Dataset | None = None,
        frames: int = -1,
        fps: float = 0.0,
        pick: str = "start",
        edit_prompt: str = "auto",
    ) -> io.NodeOutput:
        from ..dataset.joining import beside
        from ..host.encode import HostEncoder
        from ..host.paths import system_folder
        from ..host.report import NodeReporter
        from ..training.clips import ClipOptions
        from ..training.encode import EncodeOptions, describe, encode_dataset

        options = EncodeOptions(
            resolution, bucket_step, flip, upscale_small, shuffle_tags, keep_tokens, caption_variants,
            ClipOptions(frames, fps, pick), edit_prompt,
        )  # fmt: skip
        reporter = NodeReporter(cls.hidden.unique_id)
        encoder, cache = HostEncoder(vae, clip), system_folder() / "cache"
        data = encode_dataset(dataset, encoder, cache, options, reporter, regularisation, validation)
        whole = beside(dataset, regularisation=regularisation, validation=validation)
        return io.NodeOutput(data, ui={"text": [describe(data)], **dataset_ui(whole)})


def _load_inputs() -> list[io.Input]:
    return [
        io.String.Input(
            "folder",
            default="",
            placeholder="drop pictures here, or type a folder",
            tooltip=(
                "Folder with the pictures: a full path, or a name below ComfyUI's input or datasets folder. A .zip "
                "file works too. Subfolders named like 10_cat repeat their pictures 10 times."
            ),
        ),
        io.String.Input(
            "trigger",
            default="",
            placeholder="a word for what you train",
            tooltip=(
                "The word that will call what you train, e.g. dantong. It replaces [trigger] in captions; a caption "
                "without it gets it in front."
            ),
        ),
        io.Combo.Input(
            "captions",
            options=CAPTIONS,
            default="auto",
            optional=True,
            tooltip=(
                "Where captions come from. auto: a .txt (or .caption) file named like the picture; txt: .txt files "
                "only; filename: the picture's own name; none: the trigger alone; metadata: metadata.csv, "
                "metadata.jsonl or .json files beside the pictures, which auto takes where there is no .txt."
            ),
        ),
        io.String.Input(
            "default_caption",
            default="",
            multiline=True,
            optional=True,
            advanced=True,
            tooltip="Caption of pictures that have none. May contain [trigger].",
        ),
        io.Int.Input(
            "repeats",
            default=1,
            min=1,
            max=10000,
            optional=True,
            advanced=True,
            tooltip="How often each picture counts in one epoch; multiplies the number of folders named like 10_cat.",
        ),
        io.Boolean.Input(
            "recursive",
            default=False,
            optional=True,
            advanced=True,
            tooltip="Also read the folders below. Those named like 10_cat are always read.",
        ),
        io.Combo.Input(
            "role",
            options=["train", "regularisation", "validation"],
            default="train",
            optional=True,
            advanced=True,
            tooltip=(
                "train: what the LoRA learns. regularisation: what the model shall go on drawing as before. "
                "validation: images of the subject that show how well it is learned. Wire these two to the "
                "inputs of their names on Encode Dataset (Danlu)."
            ),
        ),
        io.String.Input(
            "class_word",
            default="",
            placeholder="what it is, e.g. boy",
            optional=True,
            advanced=True,
            tooltip=(
                "What the subject is without its trigger, e.g. boy or mug. Prior preservation keeps captions with it "
                "in place of the trigger as they are. Empty: the captions without the trigger."
            ),
        ),
        io.Combo.Input(
            "mask_source",
            options=["none", "folder", "alpha"],
            default="none",
            optional=True,
            advanced=True,
            tooltip=(
                "Learn only a part of each picture. folder: white in the picture of the same name in mask_folder; "
                "alpha: what is opaque. Around it counts by unmasked_weight of Training Config (Danlu)."
            ),
        ),
        io.String.Input(
            "mask_folder",
            default="",
            placeholder="folder with the masks",
            optional=True,
            advanced=True,
            tooltip="With mask_source folder: where the masks are, a full path or a name as for folder.",
        ),
        *pair_inputs(),
        io.Float.Input(
            "weight",
            default=1.0,
            min=0.001,
            max=1000.0,
            step=0.05,
            optional=True,
            advanced=True,
            tooltip=(
                "How much each picture counts beside those of other datasets, at Join Datasets (Danlu): 0.5 is half "
                "as often. Alone it changes nothing."
            ),
        ),
    ]


def _encode_inputs() -> list[io.Input]:
    return [
        DatasetType.Input("dataset", tooltip="From Load Dataset (Danlu)."),
        io.Vae.Input("vae", tooltip="The VAE of the model that you train."),
        io.Clip.Input("clip", tooltip="The text encoder of the model that you train."),
        io.String.Input(
            "resolution",
            default="auto",
            optional=True,
            tooltip=(
                "Training size: 512 means as many pixels as a square of 512 x 512; pictures keep their shape. "
                "Several (512,768,1024) train each picture at each size. auto: what the model was made for (512 for "
                "SD1.5, else 1024), or less where the pictures are smaller."
            ),
        ),
        io.Int.Input(
            "bucket_step",
            default=64,
            min=8,
            max=512,
            step=8,
            optional=True,
            advanced=True,
            tooltip=(
                "Widths and heights are multiples of this. Smaller: less is cropped, but there are more sizes, and "
                "only pictures of one size share a batch. Small resolutions lower it by themselves."
            ),
        ),
        io.Boolean.Input(
            "flip",
            default=False,
            optional=True,
            tooltip="Also train on mirrored pictures. Not for faces, writing, or anything with a left and a right.",
        ),
        io.Boolean.Input(
            "upscale_small",
            default=False,
            optional=True,
            advanced=True,
            tooltip=(
                "Enlarge pictures that are smaller than the resolution. Off: they are trained at their own size, "
                "which keeps blur out of the LoRA."
            ),
        ),
        DatasetType.Input(
            "regularisation",
            optional=True,
            tooltip=(
                "Pictures of other things of the same kind, captioned: the model shall go on drawing them as before. "
                "Turns prior_preservation of Training Config (Danlu) on."
            ),
        ),
        io.Boolean.Input(
            "shuffle_tags",
            default=False,
            optional=True,
            advanced=True,
            tooltip=(
                "For captions that are lists of tags: also train on other orders of them. A trigger at the start "
                "stays there. Not for sentences."
            ),
        ),
        io.Int.Input(
            "keep_tokens",
            default=0,
            min=0,
            max=100,
            optional=True,
            advanced=True,
            tooltip="With shuffle_tags: so many tags at the start keep their place.",
        ),
        io.Int.Input(
            "caption_variants",
            default=8,
            min=1,
            max=64,
            optional=True,
            advanced=True,
            tooltip="With shuffle_tags: how many orders of each caption are encoded; each step draws one.",
        ),
        DatasetType.Input(
            "validation",
            optional=True,
            tooltip=(
                "Images of the same subject, captioned, that nothing is trained on: each checkpoint is measured by "
                "them. Not wired: from 12 images on, one of ten is held out (validation of Training Config)."
            ),
        ),
        *clip_inputs(),
    ]


NODES = [DanluLoadDataset, DanluEncodeDataset]
