"""The captions of a whole dataset, composed by one recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ..dataset.captions import cut, from_file_name, with_trigger, without_trigger
from ..dataset.listing import REPEATS_FOLDER
from ..dataset.model import Dataset, Picture, counted, listed
from .compose import WITHOUT, Recipe, Said, compose
from .differences import Difference, shown_differences
from .origin import EDITED, Origins
from .texts import kind_of_all

STAND_IN = "stand-in"
"""The part that is used where a picture has no caption: the default caption, or a folder's name."""
TAGS = "tags"
"""The part that another captioner has said."""


@dataclass(frozen=True)
class Composed:
    dataset: Dataset
    differences: tuple[Difference, ...]
    kinds: tuple[str, ...]
    edited: tuple[str, ...]
    """Names of pictures whose texts were edited by hand, and are as they were."""
    empty: tuple[str, ...]
    """Of those without a caption."""
    cuts: tuple[tuple[str, str], ...]
    """(name, how long it was and what is left)"""

    def difference(self, shown: int | None = None) -> str:
        return shown_differences(self.differences, shown)

    def lines(self) -> list[str]:
        """What was done, for the node."""
        total = sum(len(part.pictures) for part in self.dataset.parts())
        kinds = " and ".join(sorted(set(self.kinds)))
        lines = [f"{counted(total, 'caption')} ({kinds}), {len(self.differences)} changed"]
        if self.edited:
            lines.append(f"{counted(len(self.edited), 'text')} edited by hand, left alone: {listed(self.edited)}")
        if self.empty:
            lines.append(f"{counted(len(self.empty), 'picture')} without a caption: {listed(self.empty)}")
        if self.cuts:
            lines.append(f"Cut: {listed([f'{name}: {how}' for name, how in self.cuts])}")
        return lines


def compose_dataset(dataset: Dataset, recipe: Recipe, tags: Dataset | None = None) -> Composed:
    """Raises DanluError for a template that cannot be used. `tags`: other captions of the same pictures."""
    recipe = recipe.checked()
    others = _tags(tags) if tags else {}
    parts = [_Part(part, recipe, others).composed() for part in dataset.parts()]
    return Composed(
        _joined(parts),
        tuple(difference for part in parts for difference in part.differences),
        tuple(part.kind for part in parts),
        tuple(name for part in parts for name in part.edited),
        tuple(name for part in parts for name in part.empty),
        tuple(cut for part in parts for cut in part.cuts),
    )


def _tags(dataset: Dataset) -> dict[Path, str]:
    """What a tagger said; of texts that were composed with tags, those."""
    found = {}
    for part in dataset.parts():
        origins = Origins(part)
        for picture in part.pictures:
            known, _ = origins.resolved(picture)
            found[picture.path] = dict(known.parts).get(TAGS, known.body)
    return found


def _joined(parts: list[_Part]) -> Dataset:
    first, *others = (part.dataset for part in parts)
    return replace(first, joined=tuple(others))


class _Part:
    def __init__(self, dataset: Dataset, recipe: Recipe, tags: Mapping[Path, str]):
        # What regularises must not know the trigger of what is trained.
        trigger = dataset.trigger if dataset.role == "regularisation" else recipe.trigger or dataset.trigger
        self.dataset = dataset
        self.recipe = replace(recipe, trigger=trigger)
        self.tags = tags
        self.kind = ""
        self.differences: list[Difference] = []
        self.edited: list[str] = []
        self.empty: list[str] = []
        self.cuts: list[tuple[str, str]] = []

    def composed(self) -> _Part:
        origins = Origins(self.dataset)
        found = [origins.resolved(picture) for picture in self.dataset.pictures]
        self.kind = kind_of_all((picture.body for picture, _ in found), self.recipe.kind)
        pictures = tuple(self._picture(picture, edited) for picture, edited in found)
        for old, new in zip(self.dataset.pictures, pictures, strict=True):
            if old.caption != new.caption:
                self.differences.append(Difference(new.name, old.caption, new.caption))
        self.dataset = replace(self.dataset, pictures=pictures, trigger=self.recipe.trigger)
        return self

    def _picture(self, picture: Picture, edited: bool) -> Picture:
        if edited:
            self.edited.append(picture.name)
            caption, _ = cut(with_trigger(picture.body, self.recipe.trigger))
            return replace(picture, caption=caption, parts=(("left", EDITED),))
        stand_in = "" if picture.body else self._stand_in(picture)
        said = self._said(picture, picture.body or stand_in)
        caption, how = cut(compose(self.recipe, said, self.kind))
        if how:
            self.cuts.append((picture.name, how))
        parts = dict(self.recipe.parts()) or {"template": self.recipe.template}
        tags = self._tags(picture)
        if tags and "{tags}" in self.recipe.template:
            parts[TAGS] = tags
        if stand_in:
            parts[STAND_IN] = stand_in
        spoken = tags or (said.tags if picture.body else "")
        if self.recipe.shows_picture and not self.recipe.speaks(picture.body, said.before, spoken):
            self.empty.append(picture.name)
            parts[WITHOUT] = "yes"
        return replace(picture, caption=caption, parts=tuple(parts.items()))

    def _stand_in(self, picture: Picture) -> str:
        if picture.parts:
            return dict(picture.parts).get(STAND_IN, "")
        return without_trigger(picture.caption, self.dataset.trigger)

    def _said(self, picture: Picture, caption: str) -> Said:
        path = PurePosixPath(picture.name)
        folder = path.parent.name or self.dataset.folder.name
        match = REPEATS_FOLDER.match(folder)
        tags = self._tags(picture) or (caption if self.kind == "tags" and not self.tags else "")
        name = from_file_name(path.stem)
        return Said(caption, picture.before_body, tags, name, from_file_name(match[2] if match else folder))

    def _tags(self, picture: Picture) -> str:
        """Of another captioner, now or when the text was saved."""
        return self.tags.get(picture.path, "") or dict(picture.parts).get(TAGS, "")
