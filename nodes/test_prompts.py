"""Prompts to test a LoRA with."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ._types import CATEGORY, DatasetType


class DanluTestPrompts(io.ComfyNode):
    """From a trigger to prompts that show what was learned, and what should not have been."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluTestPrompts",
            display_name="Test Prompts (Danlu)",
            category=CATEGORY,
            description=(
                "Writes prompts that show what a LoRA has learned: the subject itself, with other traits, in other "
                "places, without its trigger, and something near that should stay what it is."
            ),
            search_aliases=["test prompts", "prompt list", "generalisation", "overfitting test"],
            inputs=[
                io.String.Input(
                    "trigger",
                    default="",
                    placeholder="the trigger of the dataset",
                    tooltip="The word that calls what was trained. Empty: the one of the dataset.",
                ),
                io.Combo.Input(
                    "kind",
                    options=["person", "anime", "style", "product", "clothing", "pose", "edit"],
                    default="person",
                    tooltip="What was learned, as on Preset (Danlu).",
                ),
                io.Combo.Input("language", options=["en", "zh"], default="en", tooltip="Of the prompts."),
                DatasetType.Input(
                    "dataset", optional=True, tooltip="Its trigger and class word are used where none is typed here."
                ),
            ],
            outputs=[
                io.String.Output("prompts", display_name="prompts", tooltip="One a line, for Sweep (Danlu)."),
                io.String.Output("roles", display_name="roles", tooltip="What each line is for, one a line."),
            ],
        )

    @classmethod
    def execute(cls, trigger: str, kind: str, language: str, dataset: Any = None) -> io.NodeOutput:
        from ..advisor.prompts import prompts_for
        from ..dataset.joining import subject

        typed, class_word = trigger.strip(), ""
        if dataset is not None:
            typed, class_word = subject(dataset, typed)
        found = prompts_for(typed, kind, language, class_word)
        return io.NodeOutput("\n".join(p.text for p in found), "\n".join(p.role for p in found))


NODES = [DanluTestPrompts]
