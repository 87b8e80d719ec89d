"""The final text of a caption, put together from its parts by a template."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

from ..dataset.captions import PLACEHOLDER, clean_trigger, holds, one_line
from ..errors import DanluError
from .texts import KINDS, PROSE_SEPARATOR, SENTENCE_END, TAG_SEPARATOR, closed, deduped, join, tags_of

TEMPLATE = "{trigger}, {prefix} {caption} {suffix}"
VARIABLES = ("trigger", "prefix", "caption", "suffix", "name", "folder", "tags", "before")
ALONE, WITHOUT = "instruction alone", "without a caption"
"""Parts that say that a text needs no caption of its picture, or should have one and has not."""
FROM_PICTURE = ("caption", "tags", "before")
"""Variables that stand for what a picture shows."""
CAPTION_FROM = ("after", "before", "both", "none")

_PIECES = re.compile(r"\{([^{}]*)\}")
_JOINTS = re.compile(r"^([\s,]*)(.*?)([\s,]*)$", re.DOTALL)
_CLOSING = ")]}>”’»\"'.:;!?。：；！？"
_MARK = "\ue000"
"""Of the private use area: in nobody's caption."""


@dataclass(frozen=True)
class Recipe:
    """How captions are composed."""

    trigger: str = ""
    prefix: str = ""
    """Often an instruction: "Clean the picture."."""
    suffix: str = ""
    template: str = TEMPLATE
    kind: str = "auto"
    caption_from: str = "after"
    """Of a pair: what is said about which picture; "none": the captions are left out."""
    tag_separator: str = TAG_SEPARATOR
    prose_separator: str = PROSE_SEPARATOR

    def checked(self) -> Recipe:
        """With clean texts; raises DanluError, naming the input."""
        if self.kind not in KINDS:
            raise DanluError(f"The input 'kind' is {self.kind!r}; it can be one of {', '.join(KINDS)}.")
        if self.caption_from not in CAPTION_FROM:
            choices = ", ".join(CAPTION_FROM)
            raise DanluError(f"The input 'caption_from' is {self.caption_from!r}; it can be one of {choices}.")
        template = one_line(self.template) or TEMPLATE
        _check(template)
        return replace(
            self,
            trigger=clean_trigger(self.trigger),
            prefix=one_line(self.prefix),
            suffix=one_line(self.suffix),
            template=template,
        )

    @property
    def shows_picture(self) -> bool:
        """Whether anything in the text says what the picture shows; else all texts are one instruction."""
        names = _PIECES.findall(self.template)
        wanted = FROM_PICTURE if self.caption_from != "none" else FROM_PICTURE[1:]
        return any(name in names for name in wanted)

    def speaks(self, caption: str, before: str, tags: str) -> bool:
        """Whether the text says something about its picture."""
        names = _PIECES.findall(self.template)
        used = {"after": caption, "before": before, "both": caption or before}.get(self.caption_from, "")
        said = {"caption": used, "before": before, "tags": tags}
        return any(said.get(name) for name in names)

    def separator(self, kind: str) -> str:
        return self.tag_separator if kind == "tags" else self.prose_separator

    def parts(self) -> tuple[tuple[str, str], ...]:
        """For the journal; what is left at its default is left out."""
        plain = Recipe()
        found = tuple((name, value) for name, value in vars(self).items() if value != getattr(plain, name))
        return found if self.shows_picture else (*found, (ALONE, "yes"))


@dataclass(frozen=True)
class Said:
    """What is known of one picture."""

    caption: str = ""
    before: str = ""
    """What is said about the picture before the edit."""
    tags: str = ""
    name: str = ""
    folder: str = ""


@dataclass(frozen=True)
class _Unit:
    """A variable with the words that belong to it, or words that stand alone."""

    joint: str
    """White space and commas before it."""
    lead: str = ""
    name: str = ""
    trail: str = ""

    def text(self, values: Mapping[str, str], trigger: str) -> str:
        """Empty where nothing stands for the variable: its words go with it."""
        value = values[self.name] if self.name else ""
        return _filled(self.lead, trigger) + value + self.trail if value or not self.name else ""


def compose(recipe: Recipe, said: Said, kind: str) -> str:
    """The final text. `recipe` is checked; `kind` is "tags" or "prose". Composing the outcome again gives the same."""
    whole = one_line(said.caption)
    inner = _inner(recipe, replace(said, caption=whole), kind) if whole else ""
    return _render(recipe, replace(said, caption=inner), kind)


def _inner(recipe: Recipe, said: Said, kind: str) -> str:
    """The caption of a text that this very recipe has composed; else the text itself."""
    whole = said.caption
    candidates = [""]
    names = _PIECES.findall(recipe.template)
    others = {name: value for name, value in vars(said).items() if name in names and name != "caption"}
    if recipe.caption_from in ("before", "both"):
        others["before"] = said.before
    for head, tail in _surroundings(recipe, Said(**others), kind):
        if whole.startswith(head) and whole.endswith(tail) and len(whole) > len(head) + len(tail):
            candidates.append(whole[len(head) : len(whole) - len(tail)].strip(" ,"))
    for inner in candidates:
        if inner != whole and _render(recipe, replace(said, caption=inner), kind) == whole:
            return inner
    return whole


@lru_cache(maxsize=1024)
def _surroundings(recipe: Recipe, said: Said, kind: str) -> set[tuple[str, str]]:
    """What may stand before and behind a caption: it depends on how that begins, and on whether it has the trigger."""
    found = set()
    for slot, begin, end in product((True, False), ("", "Q"), ("", ". Q.")):
        text = _render(recipe, replace(said, caption=begin + _MARK + end), kind, slot)
        head, mark, tail = text.partition(begin + _MARK + end)
        if mark:
            tails = {tail, tail.lstrip(" "), tail.lstrip(" .。")}
            found |= {(start, finish) for start in (head, head.rstrip(" ")) for finish in tails}
    return found


def _render(recipe: Recipe, said: Said, kind: str, slot: bool = True) -> str:
    """Without `slot`, as if the trigger were in the caption."""
    values = _values(recipe, said, kind)
    if not slot:
        values["trigger"] = ""
    text, gap, before, units = "", "", None, 0
    for unit in _units(recipe.template):
        gap += unit.joint
        if not (piece := unit.text(values, recipe.trigger)):
            continue
        written = unit.lead or before is None or before.trail or not before.name
        joint = TAG_SEPARATOR if "," in gap else "" if not gap else " " if written else recipe.separator(kind)
        text = join(text, piece, joint)
        gap, before, units = "", unit, units + 1
    if units < 2:
        return text
    sentence = kind == "prose" and any(map(SENTENCE_END.search, (text, values["caption"])))
    text = text.strip(" ,，")
    return closed(text) if sentence else text


@lru_cache(maxsize=64)
def _units(template: str) -> tuple[_Unit, ...]:
    """Words belong to the variable that they touch from the left, closing signs to the one before."""
    units: list[_Unit] = []
    pieces = _PIECES.split(template)
    lead = joint = ""
    for number, piece in enumerate(pieces):
        if number % 2:
            units.append(_Unit(joint, lead, piece))
            lead = joint = ""
            continue
        if units:
            closing = piece[: len(piece) - len(piece.lstrip(_CLOSING))]
            units[-1] = replace(units[-1], trail=closing)
            piece = piece[len(closing) :]
        match = _JOINTS.match(piece)
        assert match
        before, words, after = match.groups()
        last = number == len(pieces) - 1
        if words and (last or "," in after):
            units.append(_Unit(before, words))
            joint = after
        else:
            joint, lead = before, words + after if words else ""
            joint += "" if words else after
    return tuple(units)


def _values(recipe: Recipe, said: Said, kind: str) -> dict[str, str]:
    before = _clean(said.before, kind)
    values = {
        "prefix": recipe.prefix,
        "suffix": recipe.suffix,
        "caption": _caption(recipe, said, kind),
        "before": before,
        "tags": ", ".join(deduped(tags_of(said.tags))),
        "name": one_line(said.name),
        "folder": one_line(said.folder),
    }
    return _with_trigger_once(recipe, values, kind)


def _caption(recipe: Recipe, said: Said, kind: str) -> str:
    before, after = _clean(said.before, kind), _clean(said.caption, kind)
    if recipe.caption_from == "none":
        return ""
    if recipe.caption_from == "after":
        return after
    if recipe.caption_from == "before":
        return before
    if kind == "tags":
        return ", ".join(deduped((*tags_of(before), *tags_of(after))))
    if before and after.startswith(closed(before)):  # a text with both that was read back
        return after
    return join(closed(before) if after else before, after, recipe.prose_separator)


def _clean(text: str, kind: str) -> str:
    text = one_line(text)
    return ", ".join(deduped(tags_of(text))) if kind == "tags" else text


def _with_trigger_once(recipe: Recipe, values: dict[str, str], kind: str) -> dict[str, str]:
    """The trigger stands in for `[trigger]` where that is written, else where the template has it; only once."""
    trigger = recipe.trigger
    used = [name for name in _PIECES.findall(recipe.template) if name in values]
    literals = " ".join(unit.lead for unit in _units(recipe.template))
    if trigger and "{trigger}" in recipe.template:
        values |= {name: without_leading(values[name], trigger, kind) for name in FROM_PICTURE}
    texts = [literals, *(values[name] for name in used)]
    placed = any(PLACEHOLDER.search(text) for text in texts) or trigger and any(holds(text, trigger) for text in texts)
    filled = {name: _filled(value, trigger) for name, value in values.items()}
    if kind == "tags":
        filled["caption"] = _not_said_elsewhere(filled, used)
    return {**filled, "trigger": "" if placed else trigger}


def _not_said_elsewhere(values: Mapping[str, str], used: list[str]) -> str:
    others = {tag.casefold() for name in ("prefix", "suffix") if name in used for tag in tags_of(values[name])}
    return ", ".join(tag for tag in deduped(tags_of(values["caption"])) if tag.casefold() not in others)


def _filled(text: str, trigger: str) -> str:
    """`[trigger]` filled in; without a trigger, no gap is left."""
    if not PLACEHOLDER.search(text):
        return text
    filled = PLACEHOLDER.sub(lambda _: trigger, text)
    if trigger:
        return filled
    single = re.sub(r"(,\s*)+(?=,)", "", one_line(filled))
    return re.sub(r"\s+(?=[,.;:!?])", "", single).strip(" ,")


def without_leading(text: str, trigger: str, kind: str) -> str:
    """The template says where the trigger goes: one that the text begins with, or has as a tag, is taken out."""
    names = (trigger.casefold(), "[trigger]")
    if kind == "tags":
        return ", ".join(tag for tag in tags_of(text) if tag.casefold() not in names)
    first = "|".join(map(re.escape, names))
    return re.sub(rf"^(?:{first})\s*(?:[,:，：]\s*|$)", "", text, count=1, flags=re.IGNORECASE)


def _check(template: str) -> None:
    wrong = [name for name in _PIECES.findall(template) if name not in VARIABLES]
    known = ", ".join("{" + name + "}" for name in VARIABLES)
    if wrong:
        raise DanluError(f"The input 'template' holds {{{wrong[0]}}}, which nothing stands for. It can hold {known}.")
    if re.search(r"[{}]", _PIECES.sub("", template)):
        raise DanluError(f"The input 'template' has a brace without its other half. It can hold {known}.")
