"""The same change of many captions: found out first, shown, and applied when that was what somebody wanted."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from ...captioning.patterns import Clock, Pattern, patterns
from ...captioning.places import Places
from ...captioning.tags import Steps, edited_prose, edited_tags
from ...captioning.texts import COMMAS, deduped, kind_of_all, tags_of
from ...dataset.captions import one_line
from ...dataset.model import Dataset
from ...errors import DanluError
from ..errors import Busy
from .editable import Editing
from .open import Opened
from .rereading import refresh
from .saving import Edit, edit_captions

SHOWN = 200
"""Differences in one answer."""
LONGEST = 2_000
"""Letters of what is looked for, and of what takes its place."""
OPERATIONS = ("add", "remove", "rename")
PLACES = ("front", "end")
Change = Callable[[Dataset, str], str]
"""A caption's text as it will be; of which part of the dataset it is."""


@dataclass(frozen=True)
class Planned:
    edits: tuple[Edit, ...]
    left: tuple[tuple[int, str], ...]
    """(number, why): captions that would change, too, but cannot be edited."""

    @property
    def name(self) -> str:
        """Another one when anything about it is different."""
        lines = [[edit.n, edit.was, edit.body] for edit in self.edits]
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]


def replacing(opened: Opened, find: str, new: str, is_regex: bool, whole_tags: bool, exact_case: bool) -> Change:
    """Raises DanluError for an expression that is none."""
    _check_length(find=find, replace=new)
    if not find.strip():
        raise DanluError("The input 'find' is empty. Type what to look for.")
    if whole_tags:
        (pattern,) = _patterns(find, "regex" if is_regex else "exact")
        return lambda _part, body: _with_tags(body, pattern, new)
    kind = _kind(opened)
    if is_regex:
        (pattern,) = _patterns(f"(?-i:{find})" if exact_case else find, "regex")
        return lambda _part, body: _tidied(body, pattern.replaced(body, new), kind)
    words = re.compile(re.escape(find), 0 if exact_case else re.IGNORECASE)
    return lambda _part, body: _tidied(body, words.sub(lambda _: new, body), kind)


def tag_change(opened: Opened, operation: str, tags: str, new: str, place: str) -> Change:
    """`tags`, between commas, as Edit Tags (Danlu) takes them: added, removed, or `new` in their place."""
    _check_length(tags=tags, new=new)
    for name, value, known in (("op", operation, OPERATIONS), ("place", place, PLACES)):
        if value not in known:
            raise DanluError(f"{name} is {value!r}; it can be one of {', '.join(known)}.")
    if not tags_of(tags):
        raise DanluError("The input 'tags' is empty. Type one, or several with commas between them.")
    steps = _steps(operation, tags, new, place, _kind(opened))
    edited = edited_tags if _kind(opened) == "tags" else edited_prose
    return lambda part, body: edited(body, steps, part.trigger)


def plan(opened: Opened, change: Change, only: Collection[int] | None, places: Places) -> Planned:
    """What would be different. Pictures without a caption stay so."""
    editing = Editing.of(opened, places)
    refresh(opened, opened.numbers())
    edits, left = [], []
    for n in sorted(opened.numbers() if only is None else set(only) - opened.dropped):
        body = opened.picture(n).body
        after = one_line(change(opened.part(n), body)) if body else ""
        if after == body:
            continue
        why_not = editing.why_not(opened, n)
        if why_not:
            left.append((n, why_not))
        else:
            edits.append(Edit(n, after, body))
    return Planned(tuple(edits), tuple(left))


def told(opened: Opened, planned: Planned) -> dict[str, Any]:
    """A dry run."""
    return {
        "id": opened.id,
        "revision": opened.revision,
        "plan": planned.name,
        "changed": len(planned.edits),
        "differences": [
            {"n": edit.n, "name": opened.now[edit.n].name, "before": edit.was, "after": edit.body}
            for edit in planned.edits[:SHOWN]
        ],
        "left": [{"n": n, "name": opened.now[n].name, "why": why} for n, why in planned.left[:SHOWN]],
    }


def apply(opened: Opened, change: Change, only: Collection[int] | None, places: Places, name: str) -> dict[str, Any]:
    """Does what a dry run of this name has shown. Raises Busy where that would be something else by now."""
    with opened.changing():
        planned = plan(opened, change, only, places)
        if planned.name != name:
            raise Busy("Captions have changed since this was planned. Look at the differences again.")
        done = edit_captions(opened, planned.edits, places)
        return {**done, "changed": done["written"], "items": done["items"][:SHOWN]}


def _check_length(**texts: str) -> None:
    for name, text in texts.items():
        if len(text) > LONGEST:
            raise DanluError(f"The input '{name}' is longer than {LONGEST:,} letters.")


def _kind(opened: Opened) -> str:
    return kind_of_all(opened.now[n].body for n in opened.numbers() if opened.now[n].body)


def _patterns(text: str, match: str) -> list[Pattern]:
    if "\n" in text.strip():
        raise DanluError("The input 'find' has several lines; captions have one.")
    if match == "exact":
        return [Pattern(one_line(text), "exact", "find")]
    return patterns(text, match, "find", Clock())


def _with_tags(body: str, pattern: Pattern, new: str) -> str:
    """Commas and spaces of captions without such a tag stay as they are."""
    tags = tags_of(body)
    if not any(pattern.fits(tag) for tag in tags):
        return body
    found = [part for tag in tags for part in (tags_of(pattern.replaced_tag(tag, new)) if pattern.fits(tag) else [tag])]
    return ", ".join(deduped(found))


def _tidied(before: str, after: str, kind: str) -> str:
    """No empty tags where something was taken out of a list of them."""
    whole = kind != "tags" or after == before or all(part.strip() for part in COMMAS.split(after))
    return after if whole else ", ".join(tags_of(after))


def _steps(operation: str, tags: str, new: str, place: str, kind: str) -> Steps:
    clock = Clock()
    if operation == "remove":
        return Steps(remove=patterns(tags, "exact", "tags", clock))
    if operation == "rename":
        return Steps(replace=[(pattern, new) for pattern in patterns(tags, "exact", "tags", clock)], dedupe=True)
    added = tags_of(tags) if kind == "tags" else [tags.strip()]
    return Steps(add_front=added) if place == "front" else Steps(add_end=added)
