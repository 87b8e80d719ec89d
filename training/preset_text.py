"""What a preset set, and why, in the user's words."""

from __future__ import annotations

from collections.abc import Mapping

from .families import FAMILIES
from .length import LEAST, MOST
from .presets import KINDS, Setting, preset_name, preset_settings, resolution_for

_SHOWN = ("sd15", "sdxl", "flux", "zimage", "qwen_image", "flux2")
_EDITING = ("kontext", "qwen_image_edit", "flux2")
"""Families that the text gives the values of; training on any other works as well."""

SOURCES = (
    "Sources: sd-scripts docs/flux_train_network and OneTrainer training_presets for what fits a card, ai-toolkit "
    "content_or_style for the noise of poses, the families' own as the train node tells them. Steps by goal are a rule "
    "of thumb; the largest ranks of small cards are our own judgement."
)


def describe(kind_name: str, memory: str) -> str:
    """What to bring, how long it trains, and the values for the families that suit the goal."""
    kind, name = KINDS[kind_name], preset_name(kind_name, memory)
    families = _EDITING if kind_name == "edit" else _SHOWN
    settings = {family: preset_settings(name, family, FAMILIES[family].values) for family in families}
    reasons = {f"{field}: {s.reason}" for found in settings.values() for field, s in found.items()}
    article, unit = ("an", "pair") if kind_name == "edit" else ("an" if kind_name == "anime" else "a", "picture")
    learnt = "anime character" if kind_name == "anime" else kind_name
    lines = [
        f"One goal per LoRA: this one learns {article} {learnt}, and a second goal wants a LoRA of its own.",
        f"Pictures: {kind.pictures}.",
        f"Captions: {kind.captions}.",
        f"Base: {kind.base}.",
        f"Length: {kind.per_picture} steps a {unit}, {LEAST:,} to {MOST:,}, when the train node's steps are -1.",
        "Values, where no config node says otherwise (advice from other trainers' documentation, not measured by us):",
        *(f"- {_family_line(memory, family, settings[family])}" for family in families),
        *(f"Why {reason}." for reason in sorted(reasons)),
        SOURCES,
    ]
    return "\n".join(lines)


def _family_line(memory: str, family: str, settings: Mapping[str, Setting]) -> str:
    row = FAMILIES[family]
    values = {"rank": row.values["rank"], "learning_rate": row.values["learning_rate"]}
    values |= {field: setting.value for field, setting in settings.items()}
    shown = ", ".join(f"{field} {f'{v:g}' if isinstance(v, float) else v}" for field, v in values.items())
    size = resolution_for(memory, family)
    return f"{row.label}: {shown}" + ("" if size == "auto" else f"; encode at {size}")
