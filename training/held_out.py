"""Which pictures are held out: never trained on, they tell knowing the subject from knowing its pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..dataset.model import listed
from .cache import digest
from .data import Entry, TrainingData
from .rng import derive_seed

LEAST_IMAGES = 12
"""Below this each picture is needed for training."""
ONE_OF = 10
MOST = 8


def with_validation(data: TrainingData, choice: str) -> TrainingData:
    """`data` with some of its pictures in the role "validation", which nothing is trained on; `choice` "off": as it is.

    None where there is a folder of them, or, with "auto", where there are few pictures. What is held out changes
    the fingerprint: it is part of what a run is.
    """
    if choice == "off" or data.validation:
        return data
    chosen = held_out_keys({entry.image_key for entry in data.trained}, 2 if choice == "on" else LEAST_IMAGES)
    if not chosen:
        return data
    entries = tuple(
        replace(entry, role="validation") if entry.role == "train" and entry.image_key in chosen else entry
        for entry in data.entries
    )
    names = sorted({entry.name for entry in entries if entry.role == "validation"})
    return replace(
        data,
        entries=entries,
        fingerprint=digest("held out", data.fingerprint, sorted(chosen)),
        image_count=len({entry.name for entry in entries if entry.role == "train"}),
        notes=(*data.notes, f"Held out for validation, never trained on: {listed(names)}"),
    )


def held_out_keys(keys: Iterable[str], least: int = LEAST_IMAGES) -> frozenset[str]:
    """None of less than `least`, else one of ten, at least one and at most `MOST`, by a hash of each picture's content:
    a picture that is added takes the place of one other at most."""
    ordered = by_content(keys)
    return frozenset(ordered[: min(MOST, max(1, len(ordered) // ONE_OF))] if len(ordered) >= least else ())


def by_content(keys: Iterable[str]) -> list[str]:
    """In an order that has nothing to do with names, and that stays when others come."""
    return sorted(keys, key=lambda key: (derive_seed("validation", key), key))


def some_of(entries: Iterable[Entry], count: int) -> tuple[Entry, ...]:
    """So many pictures, each once, at its smallest size."""
    smallest: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda e: (e.target_size[0] * e.target_size[1], e.latent_key)):
        smallest.setdefault(entry.image_key, entry)
    return tuple(smallest[key] for key in by_content(smallest)[:count])
