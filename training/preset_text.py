"""What a preset set, and why, in the user's words."""

from __future__ import annotations

from .config import LoRAConfig, TrainingConfig
from .families import FAMILIES, resolve
from .length import LEAST, MOST
from .presets import KINDS, preset_name, preset_settings, resolution_for

_SHOWN = ("sd15", "sdxl", "flux", "zimage", "qwen_image", "flux2")
_EDITING = ("kontext", "qwen_image_edit", "flux2")
"""Families that the text gives the values of; training on any other works as well."""

SOURCES = (
    "Sources: sd-scripts docs/flux_train_network and OneTrainer training_presets (memory), ai-toolkit content_or_style "
    "(noise of poses), the families' own as the train node tells them; steps by goal are the common rule of thumb."
)


def describe(kind_name: str, memory: str) -> str:
    """What to bring, how long it trains, and the values for the families that suit the goal."""
    kind = KINDS[kind_name]
    unit = "pair" if kind_name == "edit" else "picture"
    lines = [
        f"One goal per LoRA: this one learns a {kind_name}, and a second goal wants a LoRA of its own.",
        f"Pictures: {kind.pictures}.",
        f"Captions: {kind.captions}.",
        f"Base: {kind.base}.",
        f"Length: {kind.per_picture} steps a {unit}, {LEAST:,} to {MOST:,}, when the train node's steps are -1.",
        "Values, where no config node says otherwise (advice from other trainers' documentation, not measured by us):",
        *(_family_line(kind_name, memory, family) for family in (_EDITING if kind_name == "edit" else _SHOWN)),
    ]
    lines.append(SOURCES)
    return "\n".join(lines)


def _family_line(kind: str, memory: str, family: str) -> str:
    name, flow = preset_name(kind, memory), family not in ("sd15", "sdxl")
    found = resolve(family, flow, LoRAConfig(preset=name), TrainingConfig(preset=name), steps=LEAST)
    shown = {"rank": found.lora.rank, "learning_rate": f"{found.training.learning_rate:g}"}
    settings = preset_settings(name, family, FAMILIES[family].values)
    shown |= {field: setting.value for field, setting in settings.items() if field != "rank"}
    reasons = "; ".join(f"{field}: {setting.reason}" for field, setting in settings.items())
    size = resolution_for(memory, family)
    encode = "" if size == "auto" else f", encode at {size}"
    values = ", ".join(f"{field} {value}" for field, value in shown.items())
    return f"{FAMILIES[family].label}: {values}{encode}" + (f" ({reasons})" if reasons else "")
