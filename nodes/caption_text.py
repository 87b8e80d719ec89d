"""Caption texts of a whole dataset: composed, tags edited, traits baked in. Files are written by Save Captions only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ._dataset_ui import dataset_ui
from ._types import CATEGORY, DatasetType

if TYPE_CHECKING:
    from ..dataset.model import Dataset


class DanluComposeCaptions(io.ComfyNode):
    """Trigger, instruction, caption and suffix by a template; shows what the trainer will see."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluComposeCaptions",
            display_name="Compose Captions (Danlu)",
            category=CATEGORY,
            description=(
                "Puts trigger, prefix, caption and suffix together, and shows what the trainer will see. Needs no "
                "captioner: captions that Danlu has written are composed anew from what the captioner said. Texts "
                "that you have edited by hand stay as they are. Files change at Save Captions (Danlu) only."
            ),
            search_aliases=["trigger word", "caption prefix", "instruction", "prepend", "append", "edit captions"],
            inputs=_compose_inputs(),
            outputs=[
                DatasetType.Output(
                    "dataset", display_name="dataset", tooltip="For Encode Dataset or Save Captions (Danlu)."
                ),
                io.String.Output(
                    "difference", display_name="difference", tooltip="Each text that changed: before and after."
                ),
            ],
            hidden=[io.Hidden.unique_id],
            not_idempotent=True,
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls, dataset: Dataset, clip: Any = None, shown: int = 8, tags: Dataset | None = None, **recipe: Any
    ) -> io.NodeOutput:
        from ..captioning.compose import Recipe
        from ..captioning.compose_set import compose_dataset
        from ..captioning.trainer_view import Counter, view
        from ..host.tokens import token_counter

        composed = compose_dataset(dataset, Recipe(**recipe), tags)
        counter: Counter | None = token_counter(clip) if clip is not None else None
        text = "\n".join((*composed.lines(), "", *view(composed.dataset, shown, counter)))
        return io.NodeOutput(composed.dataset, composed.difference(), ui=_shown(cls, text, composed.dataset))


class DanluEditTags(io.ComfyNode):
    """Removes, replaces, adds, moves and counts tags or phrases of all captions."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluEditTags",
            display_name="Edit Tags (Danlu)",
            category=CATEGORY,
            description=(
                "Edits the tags of all captions at once, and counts them. In captions that are sentences it removes "
                "and replaces phrases, and never splits them at commas. Files change at Save Captions (Danlu) only."
            ),
            search_aliases=["tag editor", "remove tags", "replace tags", "tag frequency", "blacklist", "find replace"],
            inputs=_tag_inputs(),
            outputs=[
                DatasetType.Output("dataset", display_name="dataset", tooltip="With the edited captions."),
                io.String.Output(
                    "difference", display_name="difference", tooltip="Each caption that changed: before and after."
                ),
                io.String.Output(
                    "frequencies", display_name="frequencies", tooltip="How often each tag is there, after the edits."
                ),
                io.String.Output("csv", display_name="csv", tooltip="The same as a table of comma-separated values."),
            ],
            hidden=[io.Hidden.unique_id],
            not_idempotent=True,
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, dataset: Dataset, apply: bool = True, **edits: Any) -> io.NodeOutput:
        from ..captioning.edits import Edits, edit_dataset
        from ..captioning.frequency import as_csv, as_table, frequencies

        edited = edit_dataset(dataset, Edits(**edits))
        given = edited.dataset if apply else dataset
        counts = frequencies(edited.dataset, edited.kind)
        table = as_table(counts)
        text = "\n".join((*edited.lines(apply), "", edited.difference(shown=8), "", as_table(counts, shown=20)))
        return io.NodeOutput(given, edited.difference(), table, as_csv(counts), ui=_shown(cls, text, given))


class DanluBakeInTraits(io.ComfyNode):
    """Suggests which tags to delete, so that the trigger alone stands for what they name."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DanluBakeInTraits",
            display_name="Bake In Traits (Danlu)",
            category=CATEGORY,
            description=(
                "What a caption names stays changeable by prompt; what it leaves out goes into the trigger. Lists the "
                "tags of traits (hair, eyes, clothes ...) that most pictures share, and deletes those you accept."
            ),
            search_aliases=["prune tags", "delete traits", "character tags", "bake in", "tag cleanup"],
            inputs=_trait_inputs(),
            outputs=[
                DatasetType.Output("dataset", display_name="dataset", tooltip="Without the tags that were deleted."),
                io.String.Output(
                    "suggestions", display_name="suggestions", tooltip="Tags that could go, with the share of pictures."
                ),
                io.String.Output(
                    "difference", display_name="difference", tooltip="Each caption that changed: before and after."
                ),
            ],
            hidden=[io.Hidden.unique_id],
            not_idempotent=True,
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, dataset: Dataset, **choice: Any) -> io.NodeOutput:
        from ..captioning.traits import TraitChoice, bake_in

        baked = bake_in(dataset, TraitChoice(**choice))
        text = "\n".join((*baked.lines(), "", baked.edited.difference(shown=8)))
        edited = baked.edited
        shown = _shown(cls, text, edited.dataset)
        return io.NodeOutput(edited.dataset, baked.suggestions(), edited.difference(), ui=shown)


def _shown(node: type[io.ComfyNode], text: str, dataset: Dataset) -> dict[str, Any]:
    """The text on the node, now and when its graph is opened again, and the dataset that it gives."""
    from ..host.report import NodeReporter

    NodeReporter(node.hidden.unique_id).text(text.strip())
    return {"text": [text.strip()], **dataset_ui(dataset)}


def _compose_inputs() -> list[io.Input]:
    return [
        DatasetType.Input("dataset", tooltip="From Load Dataset or Caption Dataset (Danlu)."),
        io.String.Input(
            "trigger",
            default="",
            placeholder="the trigger of the dataset",
            tooltip="The word that calls what you train; it is there once. Empty: the one of the dataset.",
        ),
        io.String.Input(
            "prefix",
            default="",
            multiline=True,
            placeholder="e.g. the instruction of an edit",
            tooltip="Words before each caption. For edits: the instruction, such as Remove the dirt.",
        ),
        io.String.Input(
            "suffix", default="", multiline=True, placeholder="words after each caption", tooltip="Words after it."
        ),
        io.String.Input(
            "template",
            default="{trigger}, {prefix} {caption} {suffix}",
            tooltip=(
                "How the parts are put together. In braces: trigger, prefix, caption, suffix, name (of the file), "
                "folder, tags, before (the caption of the picture before an edit). What is empty leaves no gap."
            ),
        ),
        io.Combo.Input(
            "kind",
            options=["auto", "tags", "prose"],
            default="auto",
            tooltip="What the captions are: tags are joined by commas, prose by spaces and full stops.",
        ),
        io.Combo.Input(
            "caption_from",
            options=["after", "before", "both", "none"],
            default="after",
            optional=True,
            tooltip=(
                "For edits: which picture's caption is used. none: no caption, so that the prefix is the one "
                "instruction of all pictures."
            ),
        ),
        io.Clip.Input(
            "clip",
            optional=True,
            tooltip="The text encoder that you train with: counts its tokens. Not wired: words are counted.",
        ),
        io.Int.Input(
            "shown",
            default=8,
            min=0,
            max=1000,
            optional=True,
            advanced=True,
            tooltip="How many of the final texts are shown on the node.",
        ),
        io.String.Input(
            "tag_separator",
            default=", ",
            optional=True,
            advanced=True,
            tooltip="Between the parts, where they are tags.",
        ),
        io.String.Input(
            "prose_separator",
            default=" ",
            optional=True,
            advanced=True,
            tooltip="Between the parts, where they are sentences.",
        ),
        DatasetType.Input(
            "tags",
            optional=True,
            advanced=True,
            tooltip=(
                "The same pictures with other captions, such as those of a tagger: what tags in the template stands "
                "for. Not wired: the caption itself where it is a list of tags."
            ),
        ),
    ]


def _tag_inputs() -> list[io.Input]:
    return [
        DatasetType.Input("dataset", tooltip="From Load Dataset or Caption Dataset (Danlu)."),
        io.String.Input(
            "remove",
            default="",
            multiline=True,
            placeholder="blurry, *background",
            tooltip="Tags to remove, separated by commas or lines.",
        ),
        io.String.Input(
            "replace",
            default="",
            multiline=True,
            placeholder="grey hair -> gray hair",
            tooltip="One a line: old -> new. Without a new one, the old one is removed.",
        ),
        io.Combo.Input(
            "match",
            options=["wildcard", "exact", "regex"],
            default="wildcard",
            tooltip=(
                "How remove, replace, move_to_front and only_with are read. wildcard: * stands for any letters; "
                "regex: regular expressions, one a line, that match a whole tag. Case makes no difference."
            ),
        ),
        io.String.Input("add_front", default="", tooltip="Tags to add at the front, behind the trigger."),
        io.String.Input("add_end", default="", tooltip="Tags to add at the end."),
        io.String.Input(
            "move_to_front", default="", tooltip="Tags to move to the front, behind the trigger, in this order."
        ),
        io.Boolean.Input("dedupe", default=True, tooltip="Remove what a caption says twice; the first stays."),
        io.Combo.Input(
            "sort",
            options=["off", "alphabet", "frequency"],
            default="off",
            tooltip="Order of the tags: as they are, by the alphabet, or the most frequent first. The trigger stays.",
        ),
        io.Combo.Input(
            "kind",
            options=["auto", "tags", "prose"],
            default="auto",
            optional=True,
            advanced=True,
            tooltip="What the captions are. prose: whole sentences are moved, added and deduped, phrases removed.",
        ),
        io.String.Input(
            "only_with",
            default="",
            optional=True,
            advanced=True,
            tooltip="Edit only captions that have one of these tags. Empty: all.",
        ),
        io.Boolean.Input(
            "apply",
            default=True,
            optional=True,
            tooltip="Hand on the edited captions. Off: only show what would change.",
        ),
    ]


def _trait_inputs() -> list[io.Input]:
    return [
        DatasetType.Input("dataset", tooltip="From Load Dataset or Caption Dataset (Danlu), captioned with tags."),
        io.Float.Input(
            "share",
            default=0.5,
            min=0.05,
            max=1.0,
            step=0.05,
            tooltip="Suggest tags that at least this share of the pictures has.",
        ),
        io.Combo.Input(
            "kind",
            options=["person", "clothing", "style", "all"],
            default="person",
            tooltip=(
                "What you train, and so what may go. person: hair, eyes, face and body, and the clothes that are "
                "always there; clothing: garments; style: tags of medium and style; all: any frequent tag."
            ),
        ),
        io.Combo.Input(
            "accept",
            options=["none", "all suggested"],
            default="none",
            tooltip="none: only suggest; delete what is listed in remove. all suggested: delete those, too.",
        ),
        io.String.Input(
            "remove",
            default="",
            multiline=True,
            placeholder="silver hair, red eyes",
            tooltip="Tags to delete, separated by commas or lines. * stands for any letters.",
        ),
        io.String.Input(
            "keep",
            default="",
            multiline=True,
            placeholder="glasses",
            tooltip="Tags to keep, whatever is suggested: what you want to change by prompt.",
        ),
    ]


NODES = [DanluComposeCaptions, DanluEditTags, DanluBakeInTraits]
