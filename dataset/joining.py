"""Several datasets as one: who counts how much, in which role, under which trigger."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..errors import DanluError
from .captions import clean_trigger, with_trigger, without_trigger
from .model import ROLES, Dataset, Picture, counted

LARGEST_WEIGHT = 1000.0
RATIO_ERROR = 0.01
"""So far may whole repeats be from what the weights ask for."""
LONGEST_EPOCH = 100
"""So many times may an epoch grow for the sake of the ratio."""


def join(
    datasets: Sequence[Dataset | None],
    weights: Sequence[float] = (),
    roles: Sequence[str] = (),
    triggers: Sequence[str] = (),
) -> Dataset:
    """One dataset of all. What `weights`, `roles` and `triggers` do not reach, or leave empty, stays as it was.

    None is a socket without a dataset: what is said of it waits until it has one. A weight multiplies the one that its
    dataset has. A regularisation part that has no trigger gets none: it shows what the subject is not. Raises
    DanluError for more values than sockets, and for values that mean nothing.
    """
    if not any(datasets):
        raise DanluError("Join Datasets (Danlu) has no dataset. Wire at least one to its inputs.")
    for name, values in (("weights", weights), ("roles", roles), ("triggers", triggers)):
        if len(values) > len(datasets):
            raise DanluError(
                f"The input '{name}' has {len(values)} values, but the last wire is at socket {len(datasets)}. "
                "Give one for each socket, in their order."
            )
    parts: list[Dataset] = []
    for number, dataset in enumerate(datasets):
        if dataset is None:
            continue
        factor = weights[number] if number < len(weights) else 1.0
        role = roles[number] if number < len(roles) else ""
        trigger = clean_trigger(triggers[number]) if number < len(triggers) else ""
        parts += [_changed(part, factor, role, trigger) for part in dataset.parts()]
    return replace(parts[0], joined=tuple(parts[1:]))


def by_socket(datasets: Mapping[str, Dataset | None], prefix: str) -> list[Dataset | None]:
    """Datasets by the name of their socket (`prefix` and a number), in order, with None for sockets without a wire.

    Of a loader that is muted the host sends nothing: the others must not get its weight, role and trigger.
    """
    numbered = {int(name.removeprefix(prefix)): dataset for name, dataset in datasets.items() if dataset is not None}
    return [numbered.get(number) for number in range(max(numbered, default=-1) + 1)]


def parse_weights(text: str) -> list[float]:
    """ "1, 0.5" -> [1.0, 0.5]; nothing between commas is 1."""
    return [_number(part) for part in _listed(text)]


def parse_roles(text: str) -> list[str]:
    return [part.casefold() for part in _listed(text)]


def parse_triggers(text: str) -> list[str]:
    """One a line; empty lines at the end count for nothing."""
    return text.rstrip().splitlines()


def _listed(text: str) -> list[str]:
    parts = [part.strip() for part in re.split(r"[,;，；\n]", text.strip())]
    return parts if any(parts) else []


def _number(text: str) -> float:
    try:
        return float(text or 1)
    except ValueError:
        raise DanluError(
            f"The input 'weights' holds {text!r}, which is no number. Write numbers with commas between: 1, 0.5."
        ) from None


def _changed(part: Dataset, factor: float, role: str, trigger: str) -> Dataset:
    if role and role not in ROLES:
        raise DanluError(f"The input 'roles' holds {role!r}; a role is one of {', '.join(ROLES)}.")
    weight = checked_weight(part.weight * checked_weight(factor, "weights"), "weights")
    part = replace(part, weight=weight, role=role or part.role)
    takes_trigger = part.role != "regularisation" or part.trigger
    return renamed(part, trigger) if trigger and takes_trigger else part


def checked_weight(weight: float, name: str = "weight") -> float:
    if not math.isfinite(weight) or not 1 / LARGEST_WEIGHT <= weight <= LARGEST_WEIGHT:
        raise DanluError(
            f"The input '{name}' gives a weight of {weight:g}: it can be {1 / LARGEST_WEIGHT:g} to "
            f"{LARGEST_WEIGHT:g}. To leave a dataset out, take its wire off."
        )
    return weight


def renamed(part: Dataset, trigger: str) -> Dataset:
    """With another trigger: it takes the place of the old one in every caption, else goes in front."""

    def change(_: Dataset, picture: Picture) -> Picture:
        caption = without_trigger(picture.caption, part.trigger, trigger)
        return replace(picture, caption=with_trigger(caption, trigger))

    return replace(part.mapped(change), trigger=trigger, report=replace(part.report, trigger=trigger))


def subject(dataset: Dataset, trigger: str = "") -> tuple[str, str]:
    """Trigger and class word of what is trained: of the part with this trigger; without one, of the first that has."""
    trained = (dataset.of_role("train") or dataset).parts()
    named = [part for part in trained if (part.trigger == trigger if trigger else part.trigger)]
    part = named[0] if named else trained[0]
    return trigger or part.trigger, part.class_word


def beside(dataset: Dataset, **others: Dataset | None) -> Dataset:
    """With `others`, by their roles, as Encode Dataset takes them: whatever role their own datasets say."""
    more = [replace(part, role=role) for role, other in others.items() if other for part in other.parts()]
    return replace(dataset, joined=(*dataset.joined, *more))


def whole_repeats(dataset: Dataset) -> tuple[Dataset, tuple[str, ...]]:
    """Weights turned into whole repeats, as epochs want them, and what became of the ratio.

    Repeats times weight, all times the smallest whole number that brings every ratio within `RATIO_ERROR`. Weights are
    relative to each other: those of a dataset alone change nothing.
    """
    parts = dataset.parts()
    if len({part.weight for part in parts}) == 1:
        return dataset, ()
    asked = sorted({picture.repeats * part.weight for part in parts for picture in part.pictures})
    factor = _factor(asked)
    whole = [_times(part, factor) for part in parts]
    return replace(whole[0], joined=tuple(whole[1:])), (_shares(whole, factor, _error(asked, factor)),)


def _factor(asked: Sequence[float]) -> int:
    factors = range(1, LONGEST_EPOCH + 1)
    return next((f for f in factors if _error(asked, f) <= RATIO_ERROR), min(factors, key=lambda f: _error(asked, f)))


def _error(asked: Sequence[float], factor: int) -> float:
    return max(abs(_whole(value * factor) / (value * factor) - 1) for value in asked)


def _whole(value: float) -> int:
    return max(1, round(value))


def _times(part: Dataset, factor: int) -> Dataset:
    pictures = tuple(replace(p, repeats=_whole(p.repeats * part.weight * factor)) for p in part.pictures)
    return replace(part, pictures=pictures, weight=1.0)


def labels(parts: Sequence[Dataset]) -> list[str]:
    """What each part is called: its folder's name, with as much more as tells it from the others."""
    names = [part.folder.name for part in parts]
    longer = [
        name if names.count(name) == 1 else "/".join(p.folder.parts[-2:]) for name, p in zip(names, parts, strict=True)
    ]
    before = [longer[:place].count(name) for place, name in enumerate(longer)]
    return [f"{name} ({count + 1})" if count else name for name, count in zip(longer, before, strict=True)]


def _shares(parts: Sequence[Dataset], factor: int, error: float) -> str:
    """ "Weights: cats 67 %, heads 33 % of an epoch, which is 2 times as long"."""
    counts = [sum(picture.repeats for picture in part.pictures) for part in parts]
    named = [f"{name} {100 * n / sum(counts):.0f} %" for name, n in zip(labels(parts), counts, strict=True)]
    longer = f", which is {factor} times as long" if factor > 1 else ""
    off = f" (repeats are whole: up to {100 * error:.0f} % off)" if error > RATIO_ERROR else ""
    return f"Weights: {', '.join(named)} of an epoch{longer}{off}"


def described(dataset: Dataset) -> str:
    """What each part of a joined dataset is, for the node."""
    parts = dataset.parts()
    lines = [f"{counted(len(parts), 'dataset')}, {counted(sum(len(part.pictures) for part in parts), 'image')}"]
    for name, part in zip(labels(parts), parts, strict=True):
        weight = f", weight {part.weight:g}" if part.weight != 1 else ""
        lines.append(f"{name} ({part.role}{weight}): {part.report.summary()}")
    for role in ROLES:
        some = dataset.of_role(role)
        notes = whole_repeats(some)[1] if some else ()
        lines += [note if role == "train" else f"{role.capitalize()}: {note}" for note in notes]
    if dataset.of_role("train") is None:
        lines.append("None has the role train: nothing would be trained")
    return "\n".join(lines)
