"""Loading a dataset from disk, and encoding it for training."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

CAPTIONS = ["auto", "txt", "filename", "none"]

DatasetType = io.Custom("DANLU_DATASET")
TrainingDataType = io.Custom("DANLU_TRAINING_DATA")


class DanluLoadDataset(io.ComfyNode):
    """Reads a folder (or a .zip) of pictures and captions."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluLoadDataset",
            display_name="Load Dataset (Danlu)",
            category="Danlu",
            description=(
                "Loads pictures and their captions from a folder or a .zip file. Drop pictures, a folder or a .zip "
                "onto the node, or type a folder. Captions are .txt files named like their pictures."
            ),
            search_aliases=["load images", "image folder", "training images", "kohya", "lora dataset", "captions"],
            inputs=[
                io.String.Input(
                    "folder",
                    default="",
                    placeholder="a folder, or a .zip file",
                    tooltip=(
                        "Folder with the pictures: a full path, or a name below ComfyUI's input or datasets folder. "
                        "A .zip file works too. Subfolders named like 10_cat repeat their pictures 10 times."
                    ),
                ),
                io.String.Input(
                    "trigger",
                    default="",
                    tooltip=(
                        "The word that will call what you train, e.g. dantong. It replaces [trigger] in captions; a "
                        "caption that does not contain it gets it in front."
                    ),
                ),
                io.Combo.Input(
                    "captions",
                    options=CAPTIONS,
                    default="auto",
                    tooltip=(
                        "Where captions come from. auto and txt: the .txt file named like the picture; filename: the "
                        "picture's own name; none: the trigger alone."
                    ),
                ),
                io.String.Input(
                    "default_caption",
                    default="",
                    multiline=True,
                    tooltip="Caption of pictures that have none. May contain [trigger].",
                    advanced=True,
                ),
                io.Int.Input(
                    "repeats",
                    default=1,
                    min=1,
                    max=10000,
                    tooltip="How often each picture counts in one epoch; multiplies the number in 10_cat folder names.",
                    advanced=True,
                ),
                io.Boolean.Input(
                    "recursive",
                    default=False,
                    tooltip=(
                        "Also read every folder below. Folders named like 10_cat are always read, whatever this says."
                    ),
                    advanced=True,
                ),
            ],
            outputs=[DatasetType.Output("dataset", display_name="dataset")],
            hidden=[io.Hidden.unique_id],
            not_idempotent=True,
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        raise NotImplementedError


class DanluEncodeDataset(io.ComfyNode):
    """Pictures to latents, captions to conditionings, once each."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluEncodeDataset",
            display_name="Encode Dataset (Danlu)",
            category="Danlu",
            description=(
                "Prepares a dataset for training: sorts the pictures into sizes, encodes them with the VAE and their "
                "captions with the text encoder. What was encoded before is read from disk."
            ),
            search_aliases=["vae encode dataset", "latents", "buckets", "aspect ratio", "resolution", "lora dataset"],
            inputs=[
                DatasetType.Input("dataset", tooltip="From Load Dataset (Danlu)."),
                io.Vae.Input("vae", tooltip="The VAE of the model that you train."),
                io.Clip.Input("clip", tooltip="The text encoder of the model that you train."),
                io.String.Input(
                    "resolution",
                    default="auto",
                    tooltip=(
                        "Side of a square with as many pixels as a training picture has: auto, 512, or several such as "
                        "512,768,1024. auto takes 1024, or less where the pictures have less. Pictures keep their shape."
                    ),
                ),
                io.Int.Input(
                    "bucket_step",
                    default=64,
                    min=8,
                    max=512,
                    step=8,
                    tooltip=(
                        "Widths and heights are multiples of this. A smaller step crops less and makes more different "
                        "sizes. Lowered by itself for small resolutions."
                    ),
                    advanced=True,
                ),
                io.Boolean.Input(
                    "flip",
                    default=False,
                    tooltip="Also train on mirrored pictures. Not for faces, text, or anything with a left and a right.",
                ),
                io.Boolean.Input(
                    "upscale_small",
                    default=False,
                    tooltip=(
                        "Enlarge pictures that are smaller than the resolution. Off: they are trained at their own size, "
                        "which is sharper."
                    ),
                    advanced=True,
                ),
            ],
            outputs=[TrainingDataType.Output("training_data", display_name="training_data")],
            hidden=[io.Hidden.unique_id],
            not_idempotent=True,
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        raise NotImplementedError


NODES = [DanluLoadDataset, DanluEncodeDataset]
