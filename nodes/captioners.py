"""Captioners that run models of transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ._types import CATEGORY, CaptionerType

if TYPE_CHECKING:
    from ..captioning.downloading import Offer

TASKS = [
    "caption",
    "detailed caption",
    "more detailed caption",
    "text in the picture",
    "tags: objects",
    "tags: regions",
    "PromptGen: tags",
    "PromptGen: mixed caption",
    "PromptGen: mixed caption plus",
    "PromptGen: analysis",
]
NO_TASK = "none"
PRECISIONS = ["auto", "fp32", "fp16", "bf16"]
CAPTIONER_TOOLTIP = "For Caption Dataset (Danlu)."
DOWNLOAD_TOOLTIP = (
    "Get the model from the hub if it is not there. Size and folder are told on the node first; a stopped download "
    "goes on later. Off: nothing is ever downloaded."
)


class DanluFlorence2(io.ComfyNode):
    """Florence-2 as a captioner."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluFlorence2",
            display_name="Florence-2 (Danlu)",
            category=CATEGORY,
            description=(
                "Describes pictures with Florence-2, a small and fast model: sentences, tags from what it finds, or "
                "both. Fine-tunes and folders in Microsoft's format work too. Wire it to Caption Dataset (Danlu)."
            ),
            search_aliases=["caption", "florence2", "image to text", "auto caption", "promptgen", "tagging"],
            inputs=_florence_inputs(),
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
        from ..captioning.florence_files import is_florence
        from ..captioning.models import content_identity, find_models, pick
        from ..host.caption_models import caption_places

        folder = pick(find_models(caption_places(), is_florence), model or "")
        return content_identity(folder) if folder else ""

    @classmethod
    def execute(
        cls,
        model: str,
        task: str,
        download: bool = False,
        task_2: str = NO_TASK,
        task_3: str = NO_TASK,
        max_new_tokens: int = 512,
        num_beams: int = 3,
        temperature: float = 0.0,
        precision: str = "auto",
    ) -> io.NodeOutput:
        from ..captioning.florence import Florence2, FlorenceOptions
        from ..captioning.florence_files import is_florence
        from ..captioning.models import chosen_model
        from ..host.caption_models import caption_places
        from ..host.captioning import HostHome, compute_dtype
        from ..host.report import NodeReporter

        reporter = NodeReporter(cls.hidden.unique_id)
        folder = chosen_model(model, caption_places(), is_florence, florence_offers(), download, reporter)
        tasks = tuple(name for name in (task, task_2, task_3) if name != NO_TASK)
        options = FlorenceOptions(tasks, max_new_tokens, num_beams, temperature, compute_dtype(precision))
        captioner = Florence2(folder, model.rpartition("/")[2], options, HostHome())
        return io.NodeOutput(captioner, ui={"text": [f"{captioner.title}\n{folder}"]})


def florence_offers() -> tuple[Offer, ...]:
    """Sizes as the parameters say; the hub tells the exact one before a download."""
    from ..captioning.downloading import Offer

    return (
        Offer("florence-community/Florence-2-base", 470_000_000),
        Offer("florence-community/Florence-2-base-ft", 470_000_000),
        Offer("florence-community/Florence-2-large", 1_560_000_000),
        Offer("florence-community/Florence-2-large-ft", 1_560_000_000),
        Offer("MiaoshouAI/Florence-2-base-PromptGen-v2.0", 1_090_000_000),
        Offer("MiaoshouAI/Florence-2-large-PromptGen-v2.0", 3_300_000_000),
    )


def _florence_models() -> list[str]:
    """What is there, then what could be downloaded."""
    from ..captioning.florence_files import is_florence
    from ..captioning.models import find_models, pick
    from ..host.caption_models import caption_places

    found = find_models(caption_places(), is_florence)
    return [*found, *(offer.repository for offer in florence_offers() if not pick(found, offer.repository))]


def _florence_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "model",
            options=_florence_models(),
            tooltip=(
                "A Florence-2 folder below models/LLM, models/florence2 or extra_model_paths, or in the cache of "
                "Hugging Face; then those that 'download' can get. Press R to read the list anew."
            ),
        ),
        io.Combo.Input(
            "task",
            options=TASKS,
            default="more detailed caption",
            tooltip=(
                "What to write. tags: names of the objects or regions that it finds. PromptGen: only for models that "
                "are called so."
            ),
        ),
        io.Boolean.Input("download", default=False, optional=True, tooltip=DOWNLOAD_TOOLTIP),
        _further_task("task_2", "A second text, put after the first, such as tags after a caption."),
        _further_task("task_3", "A third text, put after the second."),
        io.Int.Input(
            "max_new_tokens",
            default=512,
            min=8,
            max=1024,
            optional=True,
            advanced=True,
            tooltip="Texts end here at the latest; a word is one to three tokens. What was cut is reported.",
        ),
        io.Int.Input(
            "num_beams",
            default=3,
            min=1,
            max=16,
            optional=True,
            advanced=True,
            tooltip="How many wordings it follows at a time to choose the best. 1: fastest.",
        ),
        io.Float.Input(
            "temperature",
            default=0.0,
            min=0.0,
            max=2.0,
            step=0.05,
            optional=True,
            advanced=True,
            tooltip="0: always the likeliest text. Above: drawn by the seed of Caption Dataset, wilder when higher.",
        ),
        io.Combo.Input(
            "precision",
            options=PRECISIONS,
            default="auto",
            optional=True,
            advanced=True,
            tooltip="Numbers that the model computes with. auto: fp16 on a graphics card, fp32 on a CPU.",
        ),
    ]


def _further_task(name: str, tooltip: str) -> io.Input:
    return io.Combo.Input(
        name, options=[NO_TASK, *TASKS], default=NO_TASK, optional=True, advanced=True, tooltip=tooltip
    )


NODES = [DanluFlorence2]
