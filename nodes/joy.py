"""JoyCaption as a captioner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ._types import CATEGORY, CaptionerType
from .captioners import CAPTIONER_TOOLTIP, DOWNLOAD_TOOLTIP

if TYPE_CHECKING:
    from ..captioning.downloading import Offer
    from ..captioning.joy_prompts import Prompt

EXTRA = {
    "no_meta_phrases": (
        "Start with what is in the picture, without “This image shows...”: what an image model should learn."
    ),
    "changeable_only": (
        "Leave out what cannot change about people (sex, ethnicity), but tell hair style, clothes and so on. For a "
        "LoRA of a person: what captions leave out goes into the trigger."
    ),
    "lighting": "Tell of the light.",
    "camera_angle": "Tell the angle of the camera.",
    "shot_size": "Tell how much is in the frame: close-up, medium shot, wide shot...",
    "no_mood": "Leave out mood and feelings, which a LoRA cannot learn from one word.",
    "composition": "Tell of the composition: rule of thirds, leading lines, symmetry.",
    "depth_of_field": "Tell whether the background is sharp or blurred.",
    "important_only": "Tell only what is most important.",
}
"""Inputs that are on or off -> tooltip; names are those of the table of prompts."""
ON = ("no_meta_phrases",)


class DanluJoyCaption(io.ComfyNode):
    """JoyCaption Beta One, with all that it can be asked."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluJoyCaption",
            display_name="JoyCaption (Danlu)",
            category=CATEGORY,
            description=(
                "Describes pictures with JoyCaption Beta One: sentences or tags, as long as you want, by its own "
                "prompts or yours. Large and thorough; takes 10 GB in fp8. Wire it to Caption Dataset (Danlu)."
            ),
            search_aliases=["caption", "joy caption", "joycaption", "llava", "image to text", "booru tags", "vlm"],
            inputs=[*_asking(), *_options(), *_own_words(), *_generation()],
            outputs=[CaptionerType.Output("captioner", display_name="captioner", tooltip=CAPTIONER_TOOLTIP)],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, model: str | None = None) -> bool | str:
        """In place of the host's own check: a model may be newer than the list. `execute` says what is missing."""
        return True

    @classmethod
    def fingerprint_inputs(cls, model: str | None = None, **_others: Any) -> str:
        """Another model in the folder is another captioner. The host gives all inputs."""
        from ..captioning.joy_files import is_joy
        from ..captioning.models import content_identity, find_models, pick
        from ..host.caption_models import caption_places

        folder = pick(find_models(caption_places(), is_joy), model or "")
        return content_identity(folder) if folder else ""

    @classmethod
    def execute(
        cls,
        model: str,
        caption_type: str,
        length: str,
        name: str = "",
        custom_prompt: str = "",
        download: bool = False,
        random_prompts: str = "",
        extra_options: str = "",
        kind: str = "auto",
        system_prompt: str = "",
        precision: str = "auto",
        max_new_tokens: int = 512,
        temperature: float = 0.6,
        top_p: float = 0.9,
        top_k: int = 0,
        **switches: bool,
    ) -> io.NodeOutput:
        from ..captioning.joy import JoyCaption, JoyOptions
        from ..captioning.joy_files import is_joy
        from ..captioning.joy_prompts import prompts_for
        from ..captioning.models import chosen_model
        from ..host.caption_models import caption_places
        from ..host.captioning import HostHome, room
        from ..host.report import NodeReporter

        extra = [*(option for option in EXTRA if switches.get(option, option in ON)), *extra_options.splitlines()]
        prompts = prompts_for(caption_type, length, extra, name.strip(), custom_prompt, random_prompts, kind)
        reporter = NodeReporter(cls.hidden.unique_id)
        folder = chosen_model(model, caption_places(), is_joy, joy_offers(), download, reporter)
        options = JoyOptions(prompts, system_prompt, max_new_tokens, temperature, top_p, top_k, precision)
        captioner = JoyCaption(folder, model.rpartition("/")[2], options, HostHome(), room())
        return io.NodeOutput(captioner, ui={"text": [_told(captioner, prompts, folder)]})


def joy_offers() -> tuple[Offer, ...]:
    from ..captioning.downloading import Offer

    return (Offer("fancyfeast/llama-joycaption-beta-one-hf-llava", 16_980_000_000),)


def _told(captioner: Any, prompts: tuple[Prompt, ...], folder: Any) -> str:
    asked = "\n".join(f"{prompt.weight:g}: {prompt.text}" if len(prompts) > 1 else prompt.text for prompt in prompts)
    return f"{asked}\n\n{captioner.precision.note}\n{folder}"


def _models() -> list[str]:
    """What is there, then what could be downloaded."""
    from ..captioning.joy_files import is_joy
    from ..captioning.models import find_models, pick
    from ..host.caption_models import caption_places

    found = find_models(caption_places(), is_joy)
    return [*found, *(offer.repository for offer in joy_offers() if not pick(found, offer.repository))]


def _asking() -> list[io.Input]:
    from ..captioning.joy_prompts import table

    return [
        io.Combo.Input(
            "model",
            options=_models(),
            tooltip=(
                "A JoyCaption folder below models/LLM, models/LLavacheckpoints or extra_model_paths, or in the cache "
                "of Hugging Face; then what 'download' can get. Press R to read the list anew."
            ),
        ),
        io.Combo.Input(
            "caption_type",
            options=list(table()["types"]),
            default="Straightforward",
            tooltip=(
                "What to write. Straightforward and Descriptive are the steadiest; tag lists are less exact than a "
                "tagger's, and MidJourney and Booru-like may repeat themselves (which is noticed, and tried again)."
            ),
        ),
        io.Combo.Input(
            "length",
            options=table()["lengths"],
            default="medium-length",
            tooltip="How long: in words, or by a number of words at most. any: as long as it likes.",
        ),
        io.String.Input(
            "name",
            default="",
            placeholder="your trigger word",
            optional=True,
            tooltip=(
                "How captions call the person or character: your trigger word, for a LoRA of somebody. Empty: no name. "
                "In your own prompts write name in curly brackets."
            ),
        ),
        io.String.Input(
            "custom_prompt",
            default="",
            multiline=True,
            placeholder="your own prompt, in place of caption_type and length",
            optional=True,
            tooltip="Ask with your own words instead. The switches below do not count then.",
        ),
        io.Boolean.Input("download", default=False, optional=True, tooltip=DOWNLOAD_TOOLTIP),
    ]


def _options() -> list[io.Input]:
    first = ("no_meta_phrases", "changeable_only", "no_mood")
    return [
        io.Boolean.Input(name, default=name in ON, optional=True, advanced=name not in first, tooltip=tooltip)
        for name, tooltip in EXTRA.items()
    ]


def _own_words() -> list[io.Input]:
    return [
        io.String.Input(
            "extra_options",
            default="",
            multiline=True,
            placeholder="one a line, e.g. no_text",
            optional=True,
            advanced=True,
            tooltip=(
                "Further instructions, one a line: your own sentences, or short names of those that JoyCaption was "
                "trained with (watermark, quality, no_text, ages, ...: the help page lists them)."
            ),
        ),
        io.String.Input(
            "random_prompts",
            default="",
            multiline=True,
            placeholder="2: Descriptive, short\n1: Straightforward, long",
            optional=True,
            advanced=True,
            tooltip=(
                "For variety: one prompt a line, your own or a caption_type with or without a length. Each picture "
                "gets one of them by its seed; '3: ...' comes three times as often. In place of the inputs above."
            ),
        ),
        io.Combo.Input(
            "kind",
            options=["auto", "prose", "tags"],
            default="auto",
            optional=True,
            advanced=True,
            tooltip="What your prompt asks for: how its answers are joined to a trigger. auto: tags if it says tags.",
        ),
        io.String.Input(
            "system_prompt",
            default="",
            multiline=True,
            optional=True,
            advanced=True,
            tooltip="What the model is told before the prompt. Empty: what it was trained with.",
        ),
    ]


def _generation() -> list[io.Input]:
    from ..captioning.precision import PRECISIONS

    return [
        io.Combo.Input(
            "precision",
            options=list(PRECISIONS),
            default="auto",
            optional=True,
            advanced=True,
            tooltip=(
                "How the weights are kept: bf16 17 GB, fp8 10 GB, 8-bit 10 GB, 4-bit 6.6 GB (the last two need the "
                "package bitsandbytes). auto: the first that fits into the memory to be had."
            ),
        ),
        io.Int.Input(
            "max_new_tokens",
            default=512,
            min=8,
            max=2048,
            optional=True,
            advanced=True,
            tooltip="Texts end here at the latest; a word is one to two tokens. What was cut is reported.",
        ),
        io.Float.Input(
            "temperature",
            default=0.6,
            min=0.0,
            max=2.0,
            step=0.05,
            optional=True,
            advanced=True,
            tooltip="Higher: wilder wording, drawn by the seed of Caption Dataset. 0: always the likeliest words.",
        ),
        io.Float.Input(
            "top_p",
            default=0.9,
            min=0.05,
            max=1.0,
            step=0.05,
            optional=True,
            advanced=True,
            tooltip="Only the likeliest words that make up this share are drawn from.",
        ),
        io.Int.Input(
            "top_k",
            default=0,
            min=0,
            max=1000,
            optional=True,
            advanced=True,
            tooltip="Only so many of the likeliest words are drawn from. 0: no limit.",
        ),
    ]


NODES = [DanluJoyCaption]
