"""What size each picture is trained at, and what that does to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..dataset.model import counted, listed
from ..training.buckets import AUTO_RESOLUTION, Buckets, Fit, parse_resolutions, step_for
from ..training.data import Size
from .finding import Finding, Severity, Subject, Thresholds, about

FACTOR, UNIT = 8, 16
"""Pixels of a latent pixel, and what sides are multiples of: as with every common VAE."""


@dataclass(frozen=True)
class Sizing:
    """`training.buckets` over a dataset, for a model whose own size is not known."""

    resolutions: tuple[int, ...]
    auto: bool
    fits: dict[int, tuple[Fit, ...]]
    """By a subject's number; empty: too small for anything."""

    @classmethod
    def of(cls, subjects: Sequence[Subject], resolution: str, bucket_step: int) -> Sizing:
        """Raises DanluError for a resolution that is none."""
        sizes = [s.picture.size for s in subjects]
        resolutions = parse_resolutions(resolution, sizes, AUTO_RESOLUTION, UNIT)
        makers = [Buckets(r, *step_for(r, bucket_step, FACTOR)) for r in resolutions]
        fits = {s.number: _unique([maker.fit(s.picture.size) for maker in makers]) for s in subjects}
        return cls(resolutions, resolution.strip().lower() in ("", "auto"), fits)

    def buckets(self, subjects: Sequence[Subject]) -> Counter[Size]:
        """How often an epoch shows pictures of each size."""
        found: Counter[Size] = Counter()
        for subject in subjects:
            for fit in self.fits[subject.number]:
                found[fit.target] += subject.picture.repeats
        return found

    def lost(self, number: int) -> float:
        """Share of a picture that is cropped at most."""
        return max((_lost(fit) for fit in self.fits[number]), default=0.0)


def _unique(fits: Sequence[Fit | None]) -> tuple[Fit, ...]:
    found: dict[Size, Fit] = {}
    for fit in fits:
        if fit:
            found.setdefault(fit.target, fit)
    return tuple(found.values())


def _lost(fit: Fit) -> float:
    return 1 - fit.target[0] * fit.target[1] / (fit.resized[0] * fit.resized[1])


def sizes(subjects: Sequence[Subject], sizing: Sizing, limits: Thresholds, batch_size: int) -> Iterator[Finding]:
    unusable = [s for s in subjects if not sizing.fits[s.number]]
    yield from about(
        "too small", Severity.PROBLEM, unusable, "too small for any training", "Use larger versions, or delete them."
    )
    yield from _small(subjects, sizing, limits)
    long = [s for s in subjects if max(s.picture.size) > limits.long * min(s.picture.size)]
    yield from about(
        "long",
        Severity.WARNING,
        long,
        "very long and thin",
        "Crop them to what matters: models draw such shapes badly.",
    )
    cropped = [s for s in subjects if sizing.lost(s.number) > limits.cropped]
    yield from about(
        "cropped",
        Severity.WARNING,
        cropped,
        "lose much at the edges when they are cropped to a bucket",
        "See the frames on the contact sheet. Crop them yourself, or lower 'bucket_step'.",
    )
    yield from _thin_buckets(subjects, sizing, batch_size)


def _small(subjects: Sequence[Subject], sizing: Sizing, limits: Thresholds) -> Iterator[Finding]:
    wanted = max(sizing.resolutions)
    small = [
        s
        for s in subjects
        if sizing.fits[s.number] and s.picture.size[0] * s.picture.size[1] < limits.small * wanted * wanted
    ]
    yield from about(
        "small",
        Severity.WARNING,
        small,
        f"smaller than the training size of {wanted}",
        "Use larger versions or a lower 'resolution'; enlarging them adds no detail.",
    )
    if sizing.auto and wanted < AUTO_RESOLUTION:
        yield Finding(
            "resolution",
            Severity.NOTE,
            (),
            f"Half of the pictures have fewer pixels than {AUTO_RESOLUTION} x {AUTO_RESOLUTION}: all are judged for "
            f"training at {wanted}.",
            "Give 'resolution' the size that you train at.",
        )


def _thin_buckets(subjects: Sequence[Subject], sizing: Sizing, batch_size: int) -> Iterator[Finding]:
    trained = [s for s in subjects if s.part.role == "train"]
    thin = {size: count for size, count in sizing.buckets(trained).items() if count < batch_size}
    if not thin:
        return
    there = [s for s in trained if any(fit.target in thin for fit in sizing.fits[s.number])]
    named = [f"{width}x{height}: {count}" for (height, width), count in sorted(thin.items())]
    yield Finding(
        "bucket not full",
        Severity.WARNING,
        tuple(s.number for s in there),
        f"{counted(len(thin), 'size')} with fewer pictures than a batch of {batch_size} has ({listed(named)}): these "
        "are shown more often than the others.",
        "Crop them to a shape that more pictures have, raise 'bucket_step', or train with smaller batches and "
        "gradient accumulation.",
    )
