"""Prompts that show what a LoRA has learned, and what it should have left alone.

plain             does it know the subject?
other traits      can its clothes, hair, colours be changed, or are they baked in? ("white hair, red dress")
other place       can it stand where it was never shown?
no trigger        the same without the trigger: must look as without the LoRA
neighbour class   something near that is not the subject: must not turn into it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import DanluError

ROLES = ("plain", "other traits", "other place", "no trigger", "neighbour class")
KINDS = ("person", "anime", "style", "product", "clothing", "pose", "edit")
LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class _Words:
    """Texts of one kind in one language; T stands for the trigger with what it is."""

    subject: str
    """What the subject is called without a trigger, where the user has not said it."""
    plain: tuple[str, ...]
    traits: tuple[str, ...]
    places: tuple[str, ...]
    neighbours: tuple[str, ...]


_EN: Mapping[str, _Words] = MappingProxyType(
    {
        "person": _Words(
            "person",
            ("a photo of T", "a close-up portrait of T, looking at the camera"),
            ("T with white hair, in a red dress", "T with short black hair, wearing a yellow raincoat and glasses"),
            ("T on a beach at sunset, full body", "T in a snowy street at night, from the side"),
            ("a photo of an old man with a beard", "a photo of two women in a cafe"),
        ),
        "anime": _Words(
            "girl",
            ("T, upper body, simple background", "T, full body, standing"),
            ("T, white hair, red dress", "T, short green hair, school uniform, glasses"),
            ("T, sitting in a library, from the side", "T, running in the rain, city street, night"),
            ("a boy with brown hair, armour", "two girls, black hair, kimono"),
        ),
        "style": _Words(
            "picture",
            ("a woman in a garden, T", "a mountain lake, T"),
            ("a red sports car, T", "a bowl of fruit on a blue table, T"),
            ("a busy market in the rain, T", "an empty space station, T"),
            ("a photo of a woman in a garden", "an oil painting of a mountain lake"),
        ),
        "product": _Words(
            "product",
            ("a photo of T on a white background", "T seen from the side, studio light"),
            ("T made of transparent glass", "T in bright red"),
            ("T on a wooden table in a kitchen", "a hand holding T in a forest"),
            ("a photo of a wooden chair", "a photo of a glass bottle on a white background"),
        ),
        "clothing": _Words(
            "clothing",
            ("a woman wearing T, full body", "T on a hanger, white wall"),
            ("a man wearing T in bright red", "a woman with white hair wearing T, close-up"),
            ("a woman wearing T on a beach", "an old man wearing T in a snowy street"),
            ("a woman wearing a blue coat, full body", "a man in a white shirt and black trousers"),
        ),
        "pose": _Words(
            "pose",
            ("a woman, T", "a man, T, full body"),
            ("a woman with white hair in a red dress, T", "a robot, T"),
            ("a woman on a beach, T", "a child in a snowy street, T"),
            ("a woman standing upright, arms at her sides", "a man sitting on a chair"),
        ),
        "edit": _Words(
            "keep everything as it is",
            ("T", "T in the whole picture"),
            ("T, at night", "T, in winter"),
            ("T, seen from above", "T, a crowded street"),
            ("make the sky blue", "remove the person on the left"),
        ),
    }
)
_ZH: Mapping[str, _Words] = MappingProxyType(
    {
        "person": _Words(
            "人",
            ("T的照片", "T的特写肖像，看着镜头"),
            ("T，白色头发，穿红色连衣裙", "T，黑色短发，穿黄色雨衣，戴眼镜"),
            ("T站在日落的海滩上，全身", "T在下雪的夜晚街头，侧面"),
            ("一位留胡子的老人的照片", "咖啡馆里两位女士的照片"),
        ),
        "anime": _Words(
            "女孩",
            ("T，上半身，简单背景", "T，全身，站立"),
            ("T，白色头发，红色连衣裙", "T，绿色短发，校服，眼镜"),
            ("T坐在图书馆里，侧面", "T在雨中奔跑，城市街道，夜晚"),
            ("棕色头发的男孩，盔甲", "两个女孩，黑色头发，和服"),
        ),
        "style": _Words(
            "画",
            ("花园里的女人，T", "山中湖泊，T"),
            ("红色跑车，T", "蓝色桌子上的一碗水果，T"),
            ("雨中热闹的集市，T", "空荡荡的空间站，T"),
            ("花园里的女人的照片", "山中湖泊的油画"),
        ),
        "product": _Words(
            "产品",
            ("T的照片，白色背景", "T的侧面，影棚灯光"),
            ("透明玻璃做的T", "鲜红色的T"),
            ("厨房木桌上的T", "森林里一只手拿着T"),
            ("一把木椅的照片", "白色背景上一个玻璃瓶的照片"),
        ),
        "clothing": _Words(
            "服装",
            ("穿着T的女人，全身", "挂在衣架上的T，白墙"),
            ("穿着鲜红色T的男人", "白色头发的女人穿着T，特写"),
            ("穿着T的女人在海滩上", "穿着T的老人在下雪的街头"),
            ("穿蓝色外套的女人，全身", "穿白衬衫和黑裤子的男人"),
        ),
        "pose": _Words(
            "姿势",
            ("一个女人，T", "一个男人，T，全身"),
            ("白色头发、穿红色连衣裙的女人，T", "一个机器人，T"),
            ("海滩上的女人，T", "下雪的街头，一个孩子，T"),
            ("直立的女人，双臂垂在身侧", "坐在椅子上的男人"),
        ),
        "edit": _Words(
            "保持原样",
            ("T", "整张图片T"),
            ("T，夜晚", "T，冬天"),
            ("T，俯视", "T，拥挤的街道"),
            ("把天空变成蓝色", "去掉左边的人"),
        ),
    }
)
_TEXTS = {"en": _EN, "zh": _ZH}


@dataclass(frozen=True)
class Prompt:
    text: str
    role: str


def prompts_for(trigger: str, kind: str, language: str, class_word: str = "") -> tuple[Prompt, ...]:
    """Two prompts of each role. `class_word`: what the subject is ("boy"); empty: a word for the kind.

    Raises DanluError where there is no trigger.
    """
    trigger = trigger.strip(" ,")
    if not trigger:
        raise DanluError(
            "Test Prompts: there is no trigger. Type the one of your dataset, or wire the dataset that has it."
        )
    if kind not in KINDS or language not in LANGUAGES:
        raise DanluError(f"Test Prompts: kind is one of {', '.join(KINDS)}, language one of {', '.join(LANGUAGES)}.")
    words = _TEXTS[language][kind]
    with_it = words.plain, words.traits, words.places
    # Where a class word is known, both stand together: what it was captioned as.
    called = f"{trigger} {class_word}" if class_word and language == "en" else f"{trigger}{class_word}"
    found = [
        Prompt(text.replace("T", called, 1), role)
        for role, texts in zip(ROLES, with_it, strict=False)
        for text in texts
    ]
    found += [Prompt(_without(text, kind, language, class_word or words.subject), ROLES[3]) for text in words.plain]
    return (*found, *(Prompt(text, ROLES[4]) for text in words.neighbours))


def _without(text: str, kind: str, language: str, subject: str) -> str:
    """A plain prompt that names no trigger."""
    if kind in ("style", "pose", "edit"):
        comma = ", " if language == "en" else "，"
        return text.replace(f"{comma}T", "", 1).replace("T", subject, 1)
    article = ("an " if subject[:1].lower() in "aeiou" else "a ") if language == "en" else ""
    return text.replace("T", f"{article}{subject}", 1)
