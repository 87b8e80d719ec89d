"""Pictures that are there more than once: the same file, the same pixels, nearly the same, mirrored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..dataset.files import file_digest
from ..dataset.images import UnreadableImage, open_rgb
from ..dataset.model import counted, listed
from ..dataset.pairs import identical
from .finding import Finding, Severity, Subject, Thresholds
from .hashes import THUMB, differing_bits
from .look import Look

Group = tuple[Subject, ...]
"""The one to keep comes first."""
SAME, SAME_PIXELS, NEARLY, MIRRORED = "same file", "same pixels", "nearly the same", "mirrored"


def doubles(subjects: Sequence[Subject], looks: Mapping[int, Look]) -> dict[str, list[Group]]:
    """Groups of pictures with the same bytes, and of those with the same pixels in different files; of pairs, with the
    same befores."""
    files = _alike(subjects, lambda s: tuple(path.stat().st_size for path in _files(s)), _digest)
    first = {s.number for group in files for s in group[1:]}
    others = [s for s in subjects if s.number in looks and s.number not in first and s.picture.clip is None]
    pixels = _alike(others, lambda s: (looks[s.number].thumb, s.picture.size), _pixels)
    return {SAME: files, SAME_PIXELS: pixels}


def _alike(
    subjects: Iterable[Subject], cheap: Callable[[Subject], Hashable], dear: Callable[[Subject], Hashable]
) -> list[Group]:
    """Those with the same `dear` key; it is asked for only where the `cheap` one is the same."""
    found = []
    for same in _grouped(subjects, cheap):
        found += [_best_first(group) for group in _grouped(same, dear)]
    return found


def _grouped(subjects: Iterable[Subject], key: Callable[[Subject], Hashable]) -> Iterator[list[Subject]]:
    groups: dict[Hashable, list[Subject]] = defaultdict(list)
    for subject in subjects:
        try:
            groups[key(subject)].append(subject)
        except (OSError, UnreadableImage):  # told by another check
            continue
    return (group for group in groups.values() if len(group) > 1)


def _files(subject: Subject) -> tuple[Path, ...]:
    """A goal that several befores lead to is a pair with each of them."""
    return subject.picture.path, *subject.picture.befores


def _digest(subject: Subject) -> Hashable:
    return tuple(file_digest(path) for path in _files(subject))


def _pixels(subject: Subject) -> Hashable:
    image = open_rgb(subject.picture.path)
    befores = tuple(file_digest(path) for path in subject.picture.befores)
    return image.size, sha256(image.tobytes()).digest(), befores


def _same_befores(one: Subject, other: Subject) -> bool:
    first, second = one.picture.befores, other.picture.befores
    try:
        return len(first) == len(second) and all(a == b or identical(a, b) for a, b in zip(first, second, strict=True))
    except (OSError, UnreadableImage):  # told by another check
        return False


def _best_first(group: Sequence[Subject]) -> Group:
    """The largest picture, then the one with the longest text of its own, then the first."""

    def worth(subject: Subject) -> tuple[int, int, int]:
        height, width = subject.picture.size
        return -height * width, -len(subject.picture.body), subject.number

    return tuple(sorted(group, key=worth))


def near_doubles(
    subjects: Sequence[Subject], looks: Mapping[int, Look], limits: Thresholds, check: Callable[[], None]
) -> dict[str, list[Group]]:
    """Groups around one picture each, of those that are nearly it, and nearly its mirror image; of pairs, with the
    same befores.

    `check` is called often, and may raise to end it. Time grows with the square of their number: a second for 10,000.
    """
    seen = [s for s in subjects if s.number in looks]
    hashes = np.array([looks[s.number].hash for s in seen], dtype=np.uint64)
    thumbs = np.frombuffer(b"".join(looks[s.number].thumb for s in seen), np.uint8).reshape(-1, THUMB, THUMB, 3)
    taken = np.zeros(len(seen), dtype=bool)
    found: dict[str, list[Group]] = {NEARLY: [], MIRRORED: []}
    for i, subject in enumerate(seen):
        if i % 100 == 0:
            check()
        if taken[i]:
            continue
        look, thumb = looks[subject.number], thumbs[i].astype(np.int16)
        for kind, value, like in ((NEARLY, look.hash, thumb), (MIRRORED, look.mirrored, thumb[:, ::-1])):
            near = _near(value, like, hashes[i + 1 :], thumbs[i + 1 :], limits) + i + 1
            near = near[~taken[near]]
            near = near[[_same_befores(subject, seen[j]) for j in near]]
            taken[near] = True
            if len(near):
                found[kind].append(_best_first([subject, *(seen[j] for j in near)]))
    return found


def _near(
    value: int, thumb: NDArray[np.int16], hashes: NDArray[np.uint64], thumbs: NDArray[np.uint8], limits: Thresholds
) -> NDArray[np.intp]:
    candidates = np.flatnonzero(differing_bits(value, hashes) <= limits.similar_bits)
    differences = np.abs(thumbs[candidates].astype(np.int16) - thumb).mean(axis=(1, 2, 3))
    return candidates[differences <= limits.similar_colours]


_WORDS = {
    SAME: ("of the same bytes as another", Severity.WARNING, "Delete all but one: doubles are learned by heart first."),
    SAME_PIXELS: (
        "of the same pixels as another, in another file",
        Severity.WARNING,
        "Delete all but one: doubles are learned by heart first.",
    ),
    NEARLY: (
        "nearly the same as another",
        Severity.WARNING,
        "Keep the best of each group, unless the small difference is what you train.",
    ),
    MIRRORED: (
        "that mirror another",
        Severity.NOTE,
        "Keep one of each, and turn on 'flip' on Encode Dataset (Danlu) if left and right do not matter.",
    ),
}


def tell(kind: str, groups: Sequence[Group]) -> Iterator[Finding]:
    """What there is to say about groups of one kind."""
    if not groups:
        return
    words, severity, remedy = _WORDS[kind]
    extra = sum(len(group) - 1 for group in groups)
    named = listed([" = ".join(f"#{s.number} {s.picture.name}" for s in group[:4]) for group in groups])
    numbers = tuple(s.number for group in groups for s in group)
    yield Finding(kind, severity, numbers, f"{counted(extra, 'image')} {words}: {named}", remedy)


def leaked(groups: Iterable[Group]) -> Iterator[Finding]:
    """Pictures for validation that are trained on too."""
    mixed = [s for group in groups if len({s.part.role == "validation" for s in group}) > 1 for s in group]
    held_out = [s for s in mixed if s.part.role == "validation"]
    if held_out:
        yield Finding(
            "also trained on",
            Severity.PROBLEM,
            tuple(s.number for s in mixed),
            f"{counted(len(held_out), 'image')} for validation also among those that are trained on: "
            + listed([f"#{s.number} {s.picture.name}" for s in held_out]),
            "Take them out of one of the two: validation on known pictures says nothing.",
        )
