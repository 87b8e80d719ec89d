"""Inputs of Encode Dataset (Danlu) about videos, and about what an edit's text encoder is shown."""

from __future__ import annotations

from comfy_api.latest import io


def clip_inputs() -> list[io.Input]:
    return [
        io.Int.Input(
            "frames",
            default=-1,
            min=-1,
            max=1025,
            optional=True,
            advanced=True,
            tooltip=(
                "For videos: so many frames of each clip at the most. VAEs take 4n+1 (LTX-Video 8n+1): other numbers "
                "are rounded down. -1: auto, 41 frames. 1: single frames."
            ),
        ),
        io.Float.Input(
            "fps",
            default=0.0,
            min=0.0,
            max=240.0,
            step=0.5,
            optional=True,
            advanced=True,
            tooltip="For videos: thins the clips out to so many frames a second (Wan: 16). 0: the clips' own.",
        ),
        io.Combo.Input(
            "pick",
            options=["start", "middle", "even"],
            default="start",
            optional=True,
            advanced=True,
            tooltip=(
                "For videos that are longer than frames: their start, their middle, or frames spread evenly over all "
                "of it, which speeds the motion up."
            ),
        ),
        io.Combo.Input(
            "edit_prompt",
            options=["auto", "Qwen Edit Plus", "Qwen Edit", "text only"],
            default="auto",
            optional=True,
            advanced=True,
            tooltip=(
                "For pairs with a text encoder that sees pictures (Qwen-Image-Edit): which of ComfyUI's nodes you will "
                "test with, TextEncodeQwenImageEditPlus (auto; 2509 and later) or TextEncodeQwenImageEdit. text only: "
                "captions without their pictures."
            ),
        ),
    ]
