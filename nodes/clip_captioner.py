"""A loaded text encoder as a captioner."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ._types import CATEGORY, CaptionerType
from .captioners import CAPTIONER_TOOLTIP

PROMPT = (
    "Describe this picture in one paragraph: the subject and what it looks like, what it does and wears, the "
    "surroundings, the light and the style. Begin with the subject. Write nothing else."
)


class DanluClipCaptioner(io.ComfyNode):
    """Captions by a vision model that is loaded as a text encoder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluClipCaptioner",
            display_name="Caption with Text Encoder (Danlu)",
            category=CATEGORY,
            description=(
                "Describes pictures with a text encoder that you have already: Qwen2.5-VL, Qwen3-VL or Gemma 3, which "
                "Qwen-Image, Flux.2 and others use. No download; one picture at a time. Wire it to Caption Dataset "
                "(Danlu)."
            ),
            search_aliases=["caption", "qwen vl", "gemma", "vlm", "generate text", "image to text"],
            inputs=_inputs(),
            outputs=[CaptionerType.Output("captioner", display_name="captioner", tooltip=CAPTIONER_TOOLTIP)],
        )

    @classmethod
    def execute(
        cls,
        clip: Any,
        prompt: str,
        kind: str = "auto",
        max_new_tokens: int = 512,
        temperature: float = 0.7,
        top_p: float = 0.95,
        top_k: int = 64,
        min_p: float = 0.05,
        max_side: int = 1024,
    ) -> io.NodeOutput:
        from ..captioning.clip_captioner import ClipCaptioner, ClipOptions
        from ..captioning.joy_prompts import custom_prompt
        from ..errors import DanluError
        from ..host.captioning import clip_identity, drop_clip, writes

        if not writes(clip):
            raise DanluError(
                "The input 'clip' is a text encoder that writes no texts. Load one that does and sees pictures: "
                "Qwen2.5-VL, Qwen3-VL, Gemma 3 4B or 12B."
            )
        if not prompt.strip():
            raise DanluError("The input 'prompt' is empty: say what to write about each picture.")
        asked = custom_prompt(prompt, kind)
        options = ClipOptions(asked, max_new_tokens, temperature, top_p, top_k, min_p, max_side)
        return io.NodeOutput(ClipCaptioner(clip, clip_identity(clip), options, lambda: drop_clip(clip)))


def _inputs() -> list[io.Input]:
    return [
        io.Clip.Input("clip", tooltip="A text encoder that sees and writes: Qwen2.5-VL, Qwen3-VL, Gemma 3."),
        io.String.Input("prompt", default=PROMPT, multiline=True, tooltip="What to write about each picture."),
        io.Combo.Input(
            "kind",
            options=["auto", "prose", "tags"],
            default="auto",
            optional=True,
            advanced=True,
            tooltip="What the prompt asks for: how answers are joined to a trigger. auto: tags if it says tags.",
        ),
        io.Int.Input(
            "max_new_tokens",
            default=512,
            min=8,
            max=4096,
            optional=True,
            advanced=True,
            tooltip="Texts end here at the latest; a word is one to two tokens. What was cut is reported.",
        ),
        io.Float.Input(
            "temperature",
            default=0.7,
            min=0.0,
            max=2.0,
            step=0.05,
            optional=True,
            advanced=True,
            tooltip="Higher: wilder wording, drawn by the seed of Caption Dataset. 0: always the likeliest words.",
        ),
        io.Float.Input(
            "top_p",
            default=0.95,
            min=0.05,
            max=1.0,
            step=0.05,
            optional=True,
            advanced=True,
            tooltip="Only the likeliest words that make up this share are drawn from.",
        ),
        io.Int.Input(
            "top_k",
            default=64,
            min=0,
            max=1000,
            optional=True,
            advanced=True,
            tooltip="Only so many of the likeliest words are drawn from. 0: no limit.",
        ),
        io.Float.Input(
            "min_p",
            default=0.05,
            min=0.0,
            max=1.0,
            step=0.01,
            optional=True,
            advanced=True,
            tooltip="Words less likely than this part of the likeliest one are never drawn.",
        ),
        io.Int.Input(
            "max_side",
            default=1024,
            min=128,
            max=4096,
            step=64,
            optional=True,
            advanced=True,
            tooltip="Larger pictures are shrunk to this before the model looks: faster, with less small detail.",
        ),
    ]


NODES = [DanluClipCaptioner]
