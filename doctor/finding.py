"""What a check says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

from ..dataset.model import NAMED_AT_MOST, Dataset, Picture, counted


class Severity(IntEnum):
    NOTE = 0
    """Good to know; a dataset with nothing but notes is ready."""
    WARNING = 1
    """Worth a look first."""
    PROBLEM = 2
    """Training on it would do harm."""


@dataclass(frozen=True)
class Subject:
    """A picture and the part of the dataset that it belongs to."""

    number: int
    """From 1, over all parts: what sheets and reports call it."""
    part: Dataset
    picture: Picture


@dataclass(frozen=True)
class Finding:
    kind: str
    """A few words, for the mark on a picture."""
    severity: Severity
    pictures: tuple[int, ...]
    """Numbers of subjects; empty: the whole set."""
    text: str
    remedy: str


@dataclass(frozen=True)
class Thresholds:
    """What counts as wrong. All shares are 0 to 1."""

    similar_bits: int
    """Bits of 64 in which two pictures' hashes may differ, to be compared further."""
    similar_colours: float
    """Mean difference of two small pictures that are nearly the same, of 255."""
    blur: float
    """How many powers of two below the set's median the sharpness lies."""
    small: float
    """Share of the training size's pixels below which a picture is too small."""
    long: float
    """Times as long as wide."""
    cropped: float
    """Share of a picture that the bucket cuts off."""
    quality: int
    """JPEG quality."""
    same_captions: float
    """Share of pictures with the same text as another, from which it is more than a note."""

    @classmethod
    def of(cls, strictness: str) -> Thresholds:
        return STRICTNESS[strictness]


STRICTNESS: Mapping[str, Thresholds] = MappingProxyType(
    {
        "relaxed": Thresholds(4, 4.0, 4.5, 0.35, 3.5, 0.4, 20, 0.9),
        "normal": Thresholds(8, 7.0, 3.5, 0.6, 2.6, 0.25, 35, 0.7),
        "strict": Thresholds(12, 11.0, 2.5, 0.95, 2.1, 0.15, 60, 0.4),
    }
)


def subjects_of(dataset: Dataset) -> tuple[Subject, ...]:
    pairs = ((part, picture) for part in dataset.parts() for picture in part.pictures)
    return tuple(Subject(number, part, picture) for number, (part, picture) in enumerate(pairs, 1))


def named(subjects: Sequence[Subject]) -> str:
    """Numbers and names, for a message."""
    shown = ", ".join(f"#{subject.number} {subject.picture.name}" for subject in subjects[:NAMED_AT_MOST])
    more = len(subjects) - NAMED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown


def about(kind: str, severity: Severity, subjects: Sequence[Subject], what: str, remedy: str) -> Iterable[Finding]:
    """One finding over pictures that share a fault, none where there are no pictures. `what` goes on from a count:
    "3 images" + " are blurred"."""
    if subjects:
        text = f"{counted(len(subjects), 'image')} {what}: {named(subjects)}"
        yield Finding(kind, severity, tuple(subject.number for subject in subjects), text, remedy)
