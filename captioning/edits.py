"""The same edit of all captions of a dataset, and what it changes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from ..dataset.captions import cut
from ..dataset.model import Dataset, Picture, counted, listed
from ..errors import DanluError
from .differences import Difference, shown_differences
from .origin import Origins
from .patterns import Clock, Pattern, patterns, replacements
from .tags import Steps, edited_prose, edited_tags, order_by
from .texts import KINDS, kind_of_all, tags_of

SORTS = ("off", "alphabet", "frequency")


@dataclass(frozen=True)
class Edits:
    """As typed."""

    remove: str = ""
    replace: str = ""
    match: str = "wildcard"
    add_front: str = ""
    add_end: str = ""
    move_to_front: str = ""
    dedupe: bool = True
    sort: str = "off"
    kind: str = "auto"
    only_with: str = ""


@dataclass(frozen=True)
class Edited:
    dataset: Dataset
    kind: str
    differences: tuple[Difference, ...]
    total: int
    in_scope: int
    empty: tuple[str, ...]
    """Pictures without a caption: nothing is added to them."""
    unused: tuple[str, ...]
    """What was to be removed, replaced or moved, and is in no caption."""
    notes: tuple[str, ...] = ()

    def difference(self, shown: int | None = None) -> str:
        return shown_differences(self.differences, shown)

    def lines(self, applied: bool = True) -> list[str]:
        verb = "changed" if applied else "would change (apply is off)"
        scope = "" if self.in_scope + len(self.empty) == self.total else f" of {self.in_scope} that only_with chooses"
        lines = [f"{len(self.differences)}{scope} of {counted(self.total, 'caption')} ({self.kind}) {verb}"]
        if self.unused:
            lines.append(f"In no caption: {listed(self.unused)}")
        if self.empty:
            lines.append(f"{counted(len(self.empty), 'picture')} without a caption, left empty: {listed(self.empty)}")
        return [*lines, *self.notes]


def edit_dataset(dataset: Dataset, edits: Edits) -> Edited:
    """Changes captions in memory. Raises DanluError for what cannot be read as tags or patterns, naming the input."""
    for name, value, known in (("sort", edits.sort, SORTS), ("kind", edits.kind, KINDS)):
        if value not in known:
            raise DanluError(f"The input {name!r} is {value!r}; it can be one of {', '.join(known)}.")
    return _Edit(dataset, edits).edited()


class _Edit:
    def __init__(self, dataset: Dataset, edits: Edits) -> None:
        self.origins = {part.folder: Origins(part) for part in dataset.parts()}
        self.dataset = dataset.mapped(lambda part, picture: self.origins[part.folder].resolved(picture)[0])
        self.before = [p.caption for part in dataset.parts() for p in part.pictures]
        bodies = [p.body for part in self.dataset.parts() for p in part.pictures if p.body]
        self.kind = kind_of_all(bodies, edits.kind)
        clock = Clock()
        self.scope = patterns(edits.only_with, edits.match, "only_with", clock)
        counts = Counter(tag.casefold() for body in bodies for tag in tags_of(body))
        self.steps = Steps(
            remove=patterns(edits.remove, edits.match, "remove", clock),
            replace=replacements(edits.replace, edits.match, "replace", clock),
            dedupe=edits.dedupe,
            add_front=self._additions(edits.add_front),
            add_end=self._additions(edits.add_end),
            move_to_front=patterns(edits.move_to_front, edits.match, "move_to_front", clock),
            order=order_by(edits.sort, counts) if self.kind == "tags" else None,
        )
        self.notes = ("Sentences are not sorted.",) if self.kind == "prose" and edits.sort != "off" else ()
        self.looked_for = [*self.steps.remove, *(p for p, _ in self.steps.replace), *self.steps.move_to_front]
        self.used: set[Pattern] = set()
        self.empty: list[str] = []
        self.in_scope = 0

    def _additions(self, text: str) -> list[str]:
        if self.kind == "tags":
            return tags_of(text)
        return [text.strip()] if text.strip() else []

    def edited(self) -> Edited:
        after = self.dataset.mapped(self._picture)
        pictures = [p for part in after.parts() for p in part.pictures]
        differences = tuple(
            Difference(new.name, old, new.caption)
            for old, new in zip(self.before, pictures, strict=True)
            if old != new.caption
        )
        unused = tuple(pattern.text for pattern in self.looked_for if pattern not in self.used)
        return Edited(
            after, self.kind, differences, len(pictures), self.in_scope, tuple(self.empty), unused, self.notes
        )

    def _picture(self, part: Dataset, picture: Picture) -> Picture:
        if not picture.body:
            self.empty.append(picture.name)
            return picture
        if self.scope and not any(self._holds(pattern, picture.body) for pattern in self.scope):
            return picture
        self.in_scope += 1
        self.used |= {p for p in self.looked_for if p not in self.used and self._holds(p, picture.caption)}
        caption, _ = cut(self._text(picture.caption, part.trigger))
        return replace(picture, body=self._text(picture.body, part.trigger), caption=caption)

    def _holds(self, pattern: Pattern, text: str) -> bool:
        return any(pattern.fits(tag) for tag in tags_of(text)) if self.kind == "tags" else pattern.is_in(text)

    def _text(self, text: str, trigger: str) -> str:
        change = edited_tags if self.kind == "tags" else edited_prose
        return change(text, self.steps, trigger)
