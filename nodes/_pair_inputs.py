"""Inputs of Load Dataset (Danlu) about before/after pairs."""

from __future__ import annotations

from comfy_api.latest import io


def pair_inputs() -> list[io.Input]:
    return [
        io.String.Input(
            "before_folder",
            default="",
            placeholder="for an edit: the pictures before it",
            optional=True,
            tooltip=(
                "To train an edit: the pictures that it starts from, named like those of folder, which is its goal "
                "(after) and has the captions. Empty: no edit."
            ),
        ),
        _further("before_folder_2", "A second picture that each edit starts from, such as a garment to put on."),
        _further("before_folder_3", "A third picture that each edit starts from."),
        io.Boolean.Input(
            "swap_pairs",
            default=False,
            optional=True,
            advanced=True,
            tooltip="folder and before_folder are the wrong way round: take each for the other.",
        ),
        io.Boolean.Input(
            "pairs_checked",
            default=False,
            optional=True,
            advanced=True,
            tooltip=(
                "I have looked: these pairs are right. Turns off the questions about pictures without a partner, "
                "other proportions, equal pictures, names of folders and places of captions."
            ),
        ),
    ]


def _further(name: str, what: str) -> io.Input:
    return io.String.Input(
        name,
        default="",
        optional=True,
        advanced=True,
        tooltip=f"{what} Named like those of folder. Empty: none.",
    )
