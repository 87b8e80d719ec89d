"""Start values in the user's words: what is to be learnt, and how much memory there is.

A preset travels in the configs by name, since the model's family is known at training only; `training.families`
asks for its values then. Advice from the trainers' own documentation, each value with its reason; not measured by
us on the real weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import DanluError

MEMORIES = ("auto", "6 GB", "8 GB", "12 GB", "16 GB", "24 GB+")

_DIVIDER = " / "
_SMALL = ("sd15", "sd21")
_MIDDLE = ("sdxl", "sdxl_v", "sd3", "zimage", "lumina2", "wan22_5b", "klein")
"""Families by the size of their networks: about 1, up to 6, and more billion parameters."""
_UNETS = ("sd15", "sd21", "sdxl", "sdxl_v")


@dataclass(frozen=True)
class Kind:
    """One goal."""

    per_picture: int
    pictures: str
    captions: str
    base: str
    rank: float = 1.0
    """Times the family's own rank."""
    rank_reason: str = ""
    values: Mapping[str, tuple[Any, str]] | None = None
    """Other values, with their reasons."""


KINDS: Mapping[str, Kind] = {
    "person": Kind(
        80,
        "20 to 30 of one person: faces from several sides, some half and full figures, different light and clothes",
        "describe what changes (clothes, place, light) and leave out what belongs to the person",
        "a photographic base of the family, undistilled: Flux.1 [dev], Qwen-Image, Z-Image base, SDXL base 1.0 or a "
        "photographic checkpoint of it",
    ),
    "anime": Kind(
        60,
        "20 to 40 of one character, several poses and expressions",
        "tags, as the base was trained on; leave out the tags of what always belongs to the character",
        "an anime base: Illustrious, NoobAI or Pony for SDXL, an anime checkpoint for SD 1.5",
    ),
    "style": Kind(
        40,
        "40 to 100 in one style, of as many different things as possible",
        "describe what is in the picture, never its style",
        "the plainest base of the family, with as little style of its own as possible: Flux.1 [dev], Qwen-Image, SDXL "
        "base 1.0",
        2.0,
        "a style is in every part of a picture",
        {"caption_dropout": (0.1, "the style should not hang on single words")},
    ),
    "product": Kind(
        60,
        "20 to 40 of one product: alone on white from all sides, and in use",
        "name the product by the trigger, describe place and light, leave out its own shape and colours",
        "a photographic base that keeps small writing: Flux.1 [dev], Qwen-Image",
    ),
    "clothing": Kind(
        60,
        "20 to 40 of one garment, on different people and alone",
        "describe the wearer, pose and place; name the garment by the trigger",
        "a photographic base that draws whole figures: Flux.1 [dev], Qwen-Image, a photographic checkpoint of SDXL",
    ),
    "pose": Kind(
        60,
        "20 to 40 of one pose, of different people in different clothes and places",
        "describe the people, clothes and places; name the pose by the trigger",
        "the base that the LoRA will be used on, undistilled",
        values={
            "timestep_sampling": ("high_noise", "the composition is decided while there is much noise"),
        },
    ),
    "edit": Kind(
        100,
        "20 to 60 pairs of before and after, that differ in nothing but the edit",
        "one sentence of instruction, the same for all, and what differs from pair to pair",
        "a model that edits: Flux.1 Kontext [dev], Qwen-Image-Edit, Flux.2",
    ),
}


@dataclass(frozen=True)
class Setting:
    value: Any
    reason: str


def preset_name(kind: str, memory: str) -> str:
    return f"{kind}{_DIVIDER}{memory}"


def parsed(preset: str) -> tuple[str, str]:
    """(kind, memory) of a preset's name; raises DanluError for one that does not exist."""
    kind, _, memory = preset.partition(_DIVIDER)
    if kind not in KINDS or memory not in MEMORIES:
        raise DanluError(
            f"preset is '{preset}'; kind must be one of {', '.join(KINDS)}, memory of {', '.join(MEMORIES)}."
        )
    return kind, memory


def length_of(kind: str) -> str:
    """How long to train, as `training.length` reads it."""
    return f"{KINDS[kind].per_picture} a picture"


def preset_settings(preset: str, family: str, row: Mapping[str, Any]) -> dict[str, Setting]:
    """Values that the preset sets for a family whose own values are `row`, by the configs' field names."""
    if not preset:
        return {}
    kind_name, memory = parsed(preset)
    kind = KINDS[kind_name]
    found = {name: Setting(*setting) for name, setting in (kind.values or {}).items()}
    if kind.rank != 1.0:
        found["rank"] = Setting(min(64, round(row["rank"] * kind.rank)), kind.rank_reason)
    return found | _for_memory(memory, family, found["rank"].value if "rank" in found else row["rank"])


def _for_memory(memory: str, family: str, rank: int) -> dict[str, Setting]:
    if memory == "auto":
        return {}
    gigabytes = int(memory.split()[0])
    small, large = family in _SMALL, family not in (*_SMALL, *_MIDDLE)
    found: dict[str, Setting] = {}
    if gigabytes <= 6 if small else gigabytes <= 16 or large:  # elsewhere a measured step decides
        reason = f"{memory}: activations are computed again instead of kept"
        found["gradient_checkpointing"] = Setting("on", reason)
    most = _most_rank(gigabytes, small, large)
    if rank > most:
        found["rank"] = Setting(most, f"{memory}: less to keep beside the model")
    if large and gigabytes <= 12:
        found["targets"] = Setting("attention", f"{memory}: half the layers, which take most of the effect")
    return found


def _most_rank(gigabytes: int, small: bool, large: bool) -> int:
    if gigabytes <= 8 and not small:
        return 8 if large else 16
    return 16 if gigabytes <= 6 or (large and gigabytes <= 12) else 64


def resolution_for(memory: str, family: str) -> str:
    """What to type as the encode node's resolution; "auto" where memory allows the model's own."""
    if memory == "auto" or family in _SMALL:
        return "auto"
    gigabytes = int(memory.split()[0])
    if family in _MIDDLE:
        return "768" if gigabytes <= 6 else "auto"
    return "512" if gigabytes <= 12 else "512,768" if gigabytes <= 16 else "auto"
