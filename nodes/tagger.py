"""Taggers of the WD kind as captioners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ._types import CATEGORY, CaptionerType
from .captioners import CAPTIONER_TOOLTIP, DOWNLOAD_TOOLTIP

if TYPE_CHECKING:
    from ..captioning.downloading import Offer

ORDERS = ["probability", "as in the model"]


class DanluTagger(io.ComfyNode):
    """Booru-type tags, by a threshold."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluTagger",
            display_name="Tagger (Danlu)",
            category=CATEGORY,
            description=(
                "Tags pictures with a WD tagger (SwinV2, ViT, ConvNeXt): the tags of Danbooru, small, fast and exact "
                "for anime and drawings. Wire it to Caption Dataset (Danlu)."
            ),
            search_aliases=["wd14", "wd tagger", "booru", "danbooru tags", "tagging", "caption", "interrogate"],
            inputs=_inputs(),
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
        from ..captioning.models import content_identity, find_models, pick
        from ..captioning.tagger import is_tagger
        from ..host.caption_models import caption_places

        folder = pick(find_models(caption_places(), is_tagger), model or "")
        return content_identity(folder) if folder else ""

    @classmethod
    def execute(
        cls,
        model: str,
        threshold: float = 0.35,
        characters: bool = True,
        character_threshold: float = 0.85,
        spaces: bool = True,
        exclude: str = "",
        max_tags: int = 0,
        order: str = "probability",
        rating: bool = False,
        download: bool = False,
    ) -> io.NodeOutput:
        from ..captioning.models import chosen_model
        from ..captioning.tagger import Tagger, TaggerOptions, is_tagger
        from ..host.caption_models import caption_places
        from ..host.captioning import HostHome
        from ..host.report import NodeReporter

        reporter = NodeReporter(cls.hidden.unique_id)
        folder = chosen_model(model, caption_places(), is_tagger, tagger_offers(), download, reporter)
        excluded = tuple(name.strip() for name in exclude.replace("\n", ",").split(",") if name.strip())
        options = TaggerOptions(threshold, character_threshold, characters, rating, spaces, excluded, max_tags, order)
        captioner = Tagger(folder, model.rpartition("/")[2], options, HostHome())
        return io.NodeOutput(captioner, ui={"text": [f"{captioner.title}\n{folder}"]})


def tagger_offers() -> tuple[Offer, ...]:
    from ..captioning.downloading import Offer

    return (
        Offer("SmilingWolf/wd-swinv2-tagger-v3", 395_000_000),
        Offer("SmilingWolf/wd-vit-tagger-v3", 380_000_000),
        Offer("SmilingWolf/wd-convnext-tagger-v3", 396_000_000),
        Offer("SmilingWolf/wd-vit-large-tagger-v3", 1_260_000_000),
    )


def _models() -> list[str]:
    """What is there, then what could be downloaded."""
    from ..captioning.models import find_models, pick
    from ..captioning.tagger import is_tagger
    from ..host.caption_models import caption_places

    found = find_models(caption_places(), is_tagger)
    return [*found, *(offer.repository for offer in tagger_offers() if not pick(found, offer.repository))]


def _inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "model",
            options=_models(),
            tooltip=(
                "A tagger's folder (model.safetensors, config.json, selected_tags.csv) below models/LLM, "
                "models/taggers or extra_model_paths, or in the cache of Hugging Face; then what 'download' can get."
            ),
        ),
        io.Float.Input(
            "threshold",
            default=0.35,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Tags at least this likely are taken. Lower: more tags, and more wrong ones.",
        ),
        io.Boolean.Input(
            "characters",
            default=True,
            tooltip="Also the names of known characters, first in the list. Off for a LoRA of a character of your own.",
        ),
        io.Float.Input(
            "character_threshold",
            default=0.85,
            min=0.0,
            max=1.0,
            step=0.01,
            optional=True,
            advanced=True,
            tooltip="As threshold, for the names of characters.",
        ),
        io.Boolean.Input(
            "spaces",
            default=True,
            optional=True,
            tooltip="long hair in place of long_hair. Faces such as ^_^ stay as they are.",
        ),
        io.String.Input(
            "exclude",
            default="",
            multiline=True,
            placeholder="tags never to use, with commas",
            optional=True,
            tooltip="Tags that are never written, with commas or one a line; with spaces or underscores.",
        ),
        io.Int.Input(
            "max_tags",
            default=0,
            min=0,
            max=1000,
            optional=True,
            advanced=True,
            tooltip="At most so many tags, the first of the order. 0: all.",
        ),
        io.Combo.Input(
            "order",
            options=ORDERS,
            default="probability",
            optional=True,
            advanced=True,
            tooltip="probability: the likeliest first. as in the model: the order of its list, the commonest first.",
        ),
        io.Boolean.Input(
            "rating",
            default=False,
            optional=True,
            advanced=True,
            tooltip="End with the likeliest rating: general, sensitive, questionable or explicit.",
        ),
        io.Boolean.Input("download", default=False, optional=True, tooltip=DOWNLOAD_TOOLTIP),
    ]


NODES = [DanluTagger]
