"""All checks over a dataset: what was found, in the order of its importance."""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from ..dataset.images import UnreadableImage
from ..dataset.model import Dataset, Picture, counted, listed
from ..errors import DanluError
from ..training.jobs import content_key
from ..training.step_log import ROW_KEY
from .borders import borders
from .captions import captions
from .compression import compressed
from .doubles import NEARLY, SAME, SAME_PIXELS, Group, doubles, leaked, near_doubles, tell
from .exposure import exposures
from .finding import STRICTNESS, Finding, Severity, Subject, Thresholds, subjects_of
from .look import Look, look_at
from .losses import outliers, picture_losses
from .pairs import PairLook, pair_looks, pairs
from .sharpness import blurred
from .sizes import Sizing, sizes

Progress = Callable[[int, int], None]
"""Pictures done, and of how many. May raise to end it."""
DROPS = ("none", "exact doubles", "all doubles", "everything flagged")
KEPT_WAITING = 4
"""Pictures in work for each thread: enough to keep it busy, and few enough to stop at once."""


@dataclass(frozen=True)
class Options:
    resolution: str = "auto"
    bucket_step: int = 64
    batch_size: int = 1
    strictness: str = "normal"
    log: tuple[Mapping[str, Any], ...] | None = None
    """Lines of a run's log; None: no run."""


@dataclass(frozen=True)
class Diagnosis:
    dataset: Dataset
    subjects: tuple[Subject, ...]
    findings: tuple[Finding, ...]
    """The gravest first."""
    sizing: Sizing
    groups: Mapping[str, list[Group]]
    """Doubles by kind; the one to keep comes first in each."""
    pair_looks: Mapping[int, PairLook]
    excess: Mapping[int, float]
    """log2 of a picture's loss in the run over that of the others."""

    @property
    def grave(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity > Severity.NOTE)

    def of(self, number: int) -> tuple[Finding, ...]:
        """What was found of one picture."""
        return tuple(finding for finding in self.findings if number in finding.pictures)


def examine(dataset: Dataset, options: Options, progress: Progress) -> Diagnosis:
    """Opens every picture once, a few at a time; what was looked at before is remembered while the file is the same.

    Raises DanluError for options that cannot be, before any picture is opened.
    """
    if options.strictness not in STRICTNESS:
        raise DanluError(f"strictness: there is no '{options.strictness}'; there are {', '.join(STRICTNESS)}.")
    limits = Thresholds.of(options.strictness)
    subjects = subjects_of(dataset)
    if not subjects:
        raise DanluError("The input 'dataset' holds no picture.")
    sizing = Sizing.of(subjects, options.resolution, options.bucket_step)
    looks, broken = _looks(subjects, progress)

    def check() -> None:
        progress(len(subjects), len(subjects))

    seen, unreadable = pair_looks(subjects, check)
    groups = _doubles(subjects, looks, limits, check)
    excess, remarks = _losses(subjects, options.log)
    findings = [
        *broken,
        *unreadable,
        *_of_groups(groups),
        *leaked(_goals(subjects, looks, groups)),
        *exposures(subjects, looks),
        *blurred(subjects, looks, limits),
        *borders(subjects, looks),
        *compressed(subjects, looks, limits),
        *sizes(subjects, sizing, limits, options.batch_size),
        *captions(subjects, limits),
        *pairs(subjects, seen),
        *remarks,
    ]
    findings.sort(key=lambda finding: -finding.severity)
    return Diagnosis(dataset, subjects, tuple(findings), sizing, groups, seen, excess)


def _looks(subjects: Sequence[Subject], progress: Progress) -> tuple[dict[int, Look], list[Finding]]:
    """By a subject's number; Pillow works outside Python's lock, so that threads help."""
    looks: dict[int, Look] = {}
    broken: list[tuple[int, str]] = []
    for done, (subject, work) in enumerate(_in_order(subjects)):
        progress(done, len(subjects))
        try:
            looks[subject.number] = work.result()
        except UnreadableImage as error:
            broken.append((subject.number, f"#{subject.number} {subject.picture.name} ({error})"))
    if not broken:
        return looks, []
    text = f"{counted(len(broken), 'image')} that cannot be read: {listed([name for _, name in broken])}"
    numbers = tuple(number for number, _ in broken)
    return looks, [Finding("broken", Severity.PROBLEM, numbers, text, "Replace these files or delete them.")]


def _in_order(subjects: Sequence[Subject]) -> Iterator[tuple[Subject, Future[Look]]]:
    threads = min(8, os.cpu_count() or 1)
    waiting: deque[tuple[Subject, Future[Look]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for subject in subjects:
            waiting.append((subject, pool.submit(look_at, subject.picture)))
            if len(waiting) >= KEPT_WAITING * threads:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        pool.shutdown(cancel_futures=True)


def _doubles(
    subjects: Sequence[Subject], looks: Mapping[int, Look], limits: Thresholds, check: Callable[[], None]
) -> dict[str, list[Group]]:
    found = doubles(subjects, looks)
    known = {s.number for groups in found.values() for group in groups for s in group[1:]}
    others = [s for s in subjects if s.number not in known]
    return {**found, **near_doubles(others, looks, limits, check)}


def _of_groups(groups: Mapping[str, list[Group]]) -> Iterator[Finding]:
    for kind, found in groups.items():
        yield from tell(kind, found)


def _goals(subjects: Sequence[Subject], looks: Mapping[int, Look], groups: Mapping[str, list[Group]]) -> list[Group]:
    """Exact doubles, whatever befores they have: a goal that is trained on is known from another before too."""
    if any(s.part.role == "validation" for s in subjects) and any(s.picture.befores for s in subjects):
        groups = doubles([replace(s, picture=replace(s.picture, befores=())) for s in subjects], looks)
    return [*groups[SAME], *groups[SAME_PIXELS]]


def _losses(
    subjects: Sequence[Subject], log: Sequence[Mapping[str, Any]] | None
) -> tuple[dict[int, float], list[Finding]]:
    if log is None:
        return {}, []
    losses = picture_losses(log)
    by_key: dict[str, list[Subject]] = defaultdict(list)  # pairs may share their goal: the log does not tell them apart
    for subject in subjects:
        if subject.part.role == "train" and subject.picture.path.exists():
            by_key[content_key(subject.picture.path)[:ROW_KEY]].append(subject)
    excess = {s.number: loss.excess for loss in losses for s in by_key.get(loss.key, ())}
    found = list(outliers(losses, by_key))
    if not found:
        found = [Finding("losses", Severity.NOTE, (), _why_none(log, bool(losses)), "Nothing to do.")]
    return excess, found


def _why_none(log: Sequence[Mapping[str, Any]], known: bool) -> str:
    if known:
        return "The run was trained on other pictures than these: its losses are of no use here."
    if not any(line.get("rows") for line in log):
        return "The run's log does not say which picture had which loss: it was trained by an earlier version."
    return "The run is too short to tell pictures by their losses: each has to be drawn at least three times."


def dropped(diagnosis: Diagnosis, what: str) -> tuple[Dataset, tuple[Subject, ...]]:
    """The dataset without what `what` of DROPS says, and what that was. No file is touched.

    Raises DanluError where no picture would be left, or none to train on where there were such.
    """
    if what not in DROPS:
        raise DanluError(f"drop: there is no '{what}'; there are {', '.join(DROPS)}.")
    numbers = _dropped_numbers(diagnosis, what)
    out = tuple(s for s in diagnosis.subjects if s.number in numbers)
    trained = [s for s in diagnosis.subjects if s.part.role == "train"]
    if all(s.number in numbers for s in trained or diagnosis.subjects):
        needed = "picture to train on" if trained else "picture"
        raise DanluError(f"drop: with '{what}' no {needed} would be left. Choose less, or mend the pictures.")
    return (_without(diagnosis.dataset, numbers) if out else diagnosis.dataset), out


def _dropped_numbers(diagnosis: Diagnosis, what: str) -> set[int]:
    kinds = {"none": (), "exact doubles": (SAME, SAME_PIXELS)}.get(what, (SAME, SAME_PIXELS, NEARLY))
    extra = {s.number for kind in kinds for group in diagnosis.groups[kind] for s in group[1:]}
    if what != "everything flagged":
        return extra
    doubled = {SAME, SAME_PIXELS, NEARLY}  # of these one stays
    flagged = (f for f in diagnosis.grave if f.kind not in doubled and f.kind not in _OF_THE_SET)
    return extra | {number for finding in flagged for number in finding.pictures}


_OF_THE_SET = (
    "same caption",
    "like captions",
    "no caption",
    "tags and prose",
    "long caption",
    "bucket not full",
    "no trigger",
)
"""Faults of texts and of the whole: no reason to leave a picture out."""


def _without(dataset: Dataset, numbers: Iterable[int]) -> Dataset:
    """Numbers as `subjects_of` gives them: this one's pictures first, then those of joined ones."""
    gone, number = set(numbers), 0

    def kept(part: Dataset) -> Dataset:
        nonlocal number
        pictures: list[Picture] = []
        for picture in part.pictures:
            number += 1
            if number not in gone:
                pictures.append(picture)
        return replace(part, pictures=tuple(pictures), joined=tuple(kept(other) for other in part.joined))

    return kept(dataset)
