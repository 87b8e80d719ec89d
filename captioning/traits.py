"""What may go out of captions so that the trigger alone stands for it: traits that most pictures share.

A trait that captions name can be changed by prompt later; one that no caption names is learned with the trigger.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..dataset.captions import holds
from ..dataset.model import Dataset
from ..errors import DanluError
from .edits import Edited, Edits, edit_dataset
from .frequency import Frequency, frequencies
from .patterns import Pattern, patterns
from .texts import kind_of_all

HAIR = "hair bangs ponytail twintails braid braids bun sidelocks ahoge fringe haircut"
EYES = "eyes eye pupils eyelashes eyebrows heterochromia eyepatch"
BODY = (
    "freckles mole scar scars fang fangs ears horns horn tail wings halo skin tan beard mustache moustache stubble "
    "breasts muscular tattoo tattoos makeup lipstick face lips nose wrinkles"
)
CLOTHES = (
    "shirt t-shirt blouse dress skirt jacket coat hat cap gloves boots shoes socks thighhighs pantyhose necktie tie "
    "bow bowtie ribbon scarf hoodie sweater cardigan uniform kimono hanfu armor armour cape cloak belt earrings "
    "necklace choker glasses hairclip hairband headband hairpin collar pants jeans trousers shorts sleeves apron "
    "swimsuit bikini vest suit sneakers sandals robe sash bracelet ring helmet mask backpack bag"
)
STYLE = (
    "sketch watercolor watercolour painting monochrome greyscale grayscale lineart illustration style art bokeh "
    "photo photograph photorealistic realistic shading colors colours pastel grain drawing render manga comic"
)
_CHINESE = {
    HAIR: "发 髮 刘海 马尾 辫子 辫",
    EYES: "眼 眼睛 瞳 眉毛",
    BODY: "耳 耳朵 角 尾巴 翅膀 皮肤 胡子 雀斑 疤 痣",
    CLOTHES: "衣 衫 裙 裤 帽 帽子 鞋 袜 手套 领带 领结 围巾 外套 眼镜 项链 耳环 制服 披风",
    STYLE: "画 风格 素描 水彩 黑白 插画 照片 写实",
}
KINDS = {
    "person": (HAIR, EYES, BODY, CLOTHES),
    "clothing": (CLOTHES,),
    "style": (STYLE,),
    "all": (),
}
ACCEPT = ("none", "all suggested")


@dataclass(frozen=True)
class TraitChoice:
    """As typed."""

    share: float = 0.5
    kind: str = "person"
    accept: str = "none"
    remove: str = ""
    keep: str = ""


@dataclass(frozen=True)
class BakedIn:
    choice: TraitChoice
    suggested: tuple[Frequency, ...]
    edited: Edited

    def suggestions(self) -> str:
        """One tag a line, for the input `remove`."""
        return "\n".join(frequency.tag for frequency in self.suggested)

    def lines(self) -> list[str]:
        if not self.suggested:
            return [f"No {self.choice.kind} trait is in {self.choice.share:.0%} of the captions.", *self.edited.lines()]
        done = "deleted" if self.choice.accept != "none" else "not deleted: list them in 'remove', or set 'accept'"
        lines = [f"Could go into the trigger ({done}):"]
        lines += [f"  {f.tag}: {f.count} of {f.total} captions ({f.share:.0%})" for f in self.suggested]
        return [*lines, *self.edited.lines()]


def bake_in(dataset: Dataset, choice: TraitChoice) -> BakedIn:
    """Raises DanluError for a choice there is not."""
    for name, value, known in (("kind", choice.kind, tuple(KINDS)), ("accept", choice.accept, ACCEPT)):
        if value not in known:
            raise DanluError(f"The input {name!r} is {value!r}; it can be one of {', '.join(known)}.")
    suggested = tuple(_suggested(dataset, choice))
    accepted = [frequency.tag for frequency in suggested] if choice.accept != "none" else []
    edits = Edits(remove="\n".join([*_listed(dataset, choice), *accepted]), dedupe=False)
    return BakedIn(choice, suggested, edit_dataset(dataset, edits))


def _listed(dataset: Dataset, choice: TraitChoice) -> list[str]:
    """What `remove` names, but for what `keep` names."""
    removed = patterns(choice.remove, "wildcard", "remove")
    kept = patterns(choice.keep, "wildcard", "keep")
    if not kept or _is_prose(dataset):
        return [pattern.text for pattern in removed]
    tags = [frequency.tag for frequency in frequencies(dataset, "tags")]
    return [tag for tag in tags if _fits(tag, removed) and not _fits(tag, kept)]


def _suggested(dataset: Dataset, choice: TraitChoice) -> Iterable[Frequency]:
    counted = frequencies(_as_phrases(dataset, choice.kind) if _is_prose(dataset) else dataset, "tags")
    kept = patterns(choice.keep, "wildcard", "keep")
    triggers = [part.trigger for part in dataset.parts() if part.trigger]
    for frequency in counted:
        named = any(holds(frequency.tag, trigger) for trigger in triggers) or "[trigger]" in frequency.tag
        often = frequency.share >= choice.share
        if often and not named and _is_trait(frequency.tag, choice.kind) and not _fits(frequency.tag, kept):
            yield frequency


def _is_prose(dataset: Dataset) -> bool:
    return kind_of_all(p.body for part in dataset.parts() for p in part.pictures if p.body) == "prose"


def _fits(tag: str, wanted: list[Pattern]) -> bool:
    return any(pattern.fits(tag) for pattern in wanted)


def _is_trait(tag: str, kind: str) -> bool:
    """By its last word: "long silver hair" is hair, "hair ornament" is none."""
    if kind == "all":
        return True
    last = tag.replace("_", " ").split()[-1].casefold()
    groups = KINDS[kind]
    words = {word for group in groups for word in group.split()}
    chinese = tuple(word for group in groups for word in _CHINESE[group].split())
    return last in words or tag.endswith(chinese)


def _as_phrases(dataset: Dataset, kind: str) -> Dataset:
    """Sentences as lists of the phrases that name traits: a word or two, and what they say it of."""
    words = "|".join(word for group in KINDS[kind] for word in group.split()) or r"\w+"
    phrase = re.compile(rf"(?<!\w)([A-Za-z-]+ (?:{words}))(?!\w)", re.IGNORECASE)
    return dataset.mapped(lambda _, p: replace(p, body=", ".join(found.lower() for found in phrase.findall(p.body))))
