"""How good a checkpoint is, without drawing a picture: a few forward passes, at the same noise for every checkpoint of
every run on these pictures.

    loss      on held-out pictures and as many trained ones, at four noise levels
    effect    |a - b| / |b - t| at the highest of them: a the LoRA's answer, b the base's, t the target
    leak      |a - b| there for captions without the trigger, or for regularisation pictures, over the same with it
    response  |a(c) - a(d)| / |b(c) - b(d)|, c a picture's caption and d another's: does it still listen to the rest?
    nearest   |x - n| / |x - p|, x the clean latent that a comes to, p the held-out picture, n the nearest trained one

What none of them sees is whether a person would call it a likeness.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..advisor.measures import Measure
from .data import Entry, TrainingData
from .held_out import MOST, some_of
from .loop import Trainer
from .objective import add_noise, clean_latent, target
from .rng import kept_generators
from .rows import Batch

LEVELS = (0.25, 0.85, 0.9, 0.95)
"""Quantiles of the noise levels that the run trains at; most lie where verdicts are found (`advisor.measures`)."""
HIGHEST = LEVELS[-1]
"""Where hardly anything but the caption says what the picture is."""
FEW = 4
"""Pictures for what captions do, and trained pictures where none is held out."""
COARSE = 8
"""Side that latents are averaged to, to be compared as wholes."""
MOST_COMPARED = 1000
PASSES_PER_STEP = 3
"""A training step costs about as much as so many forward passes."""

Texts = tuple[tuple[Entry, str], ...]
"""Pictures, each with a caption to be read with it."""


@dataclass(frozen=True)
class Probes:
    """What is measured: chosen by content, so that it stays the same as long as the pictures are there."""

    held_out: tuple[Entry, ...]
    trained: tuple[Entry, ...]
    swapped: Texts
    """Pictures with another's caption."""
    plain: Texts
    """What the LoRA should leave alone."""

    @classmethod
    def of(cls, data: TrainingData) -> Probes:
        held_out = some_of(data.validation, MOST)
        trained = some_of(data.trained, len(held_out) or FEW)
        about = (held_out or trained)[:FEW]
        return cls(held_out, trained, _swapped(about, data), _plain(about, data))

    @property
    def passes(self) -> int:
        """Forward passes at each checkpoint."""
        return len(LEVELS) * (len(self.held_out) + len(self.trained)) + len(self.swapped) + len(self.plain)


def _swapped(about: Sequence[Entry], data: TrainingData) -> Texts:
    captions = sorted({entry.captions[0] for entry in (*data.trained, *data.validation) if entry.captions})
    found = []
    for entry in about:
        # The one half way round: neighbours in the alphabet may say nearly the same.
        place = captions.index(entry.captions[0]) + max(1, len(captions) // 2)
        other = captions[place % len(captions)]
        # What a text encoder says of a picture is not known for another one's caption.
        if other != entry.captions[0] and entry.seen is None:
            found.append((entry, other))
    return tuple(found)


def _plain(about: Sequence[Entry], data: TrainingData) -> Texts:
    regularisation = some_of(data.regularisation, FEW)
    if regularisation:
        return tuple((entry, entry.captions[0]) for entry in regularisation)
    return tuple((entry, entry.class_captions[0]) for entry in about if entry.class_captions)


def cost(data: TrainingData) -> str:
    """What measuring takes, for the node."""
    passes = Probes.of(data).passes
    held_out = len({entry.image_key for entry in data.validation})
    measured = f"{held_out} held-out image{'' if held_out == 1 else 's'}" if held_out else "no image held out"
    return (
        f"Validation: {measured}; each checkpoint takes {passes} more forward passes, the time of about "
        f"{-(-passes // PASSES_PER_STEP)} steps"
    )


class Validator:
    """Measures a trainer's adapters as they are, inside its loan. Nothing that is trained or drawn depends on it."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.probes = Probes.of(trainer.data)
        self._of_base: dict[tuple[str, str], Tensor] = {}
        self._of_now: dict[tuple[str, str], Tensor] = {}
        """Answers at the highest level, which several measures look at."""

    def base(self) -> Measure:
        """The model without what is trained: step 0."""
        with self._quiet():
            return Measure(
                0,
                self._losses(self.probes.held_out, base=True),
                self._losses(self.probes.trained, base=True),
                effect=0.0,
                nearest=self._nearest(base=True),
                images=self._images,
                levels=LEVELS,
            )

    def measure(self, step: int) -> Measure:
        with self._quiet():
            effect, missed = self._effect()
            leak = _size([self._moved(entry, caption) for entry, caption in self.probes.plain])
            return Measure(
                step,
                self._losses(self.probes.held_out),
                self._losses(self.probes.trained),
                effect=effect / missed if missed else None,
                leak=leak / effect if self.probes.plain and effect else None,
                response=self._response(),
                nearest=self._nearest(),
                images=self._images,
                levels=LEVELS,
            )

    @property
    def _images(self) -> tuple[int, int]:
        return len(self.probes.held_out), len(self.probes.trained)

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """No gradients, no dropout, and the generators as they were."""
        sets = [self.trainer.adapters, *([self.trainer.text.adapters] if self.trainer.text else [])]
        try:
            for adapters in sets:
                adapters.train(False)
            with torch.no_grad(), kept_generators(self.trainer.model.device):
                yield
        finally:
            self._of_now.clear()
            for adapters in sets:
                adapters.train()

    def _losses(self, entries: Sequence[Entry], base: bool = False) -> tuple[float, ...]:
        """Means over the pictures, by level."""
        if not entries:
            return ()
        sums = [sum(self._loss(entry, level, base) for entry in entries) for level in LEVELS]
        return tuple(total / len(entries) for total in sums)

    def _loss(self, entry: Entry, level: float, base: bool) -> float:
        batch, answer = self._answered(entry, entry.captions[0], level, base)
        return float(self.trainer.objective.rows(answer, self._wanted(batch), batch.sigma, batch.mask)[0])

    def _effect(self) -> tuple[float, float]:
        """(|a - b|, |b - t|) over pictures with their own captions."""
        moved, missed = [], []
        for entry in (self.probes.held_out or self.probes.trained)[:FEW]:
            batch, before = self._answered(entry, entry.captions[0], base=True)
            moved.append(self._moved(entry, entry.captions[0]))
            missed.append(self._wanted(batch) - before)
        return _size(moved), _size(missed)

    def _moved(self, entry: Entry, caption: str) -> Tensor:
        """a - b"""
        return self._answered(entry, caption)[1] - self._answered(entry, caption, base=True)[1]

    def _response(self) -> float | None:
        now: list[Tensor] = []
        before: list[Tensor] = []
        for entry, other in self.probes.swapped:
            for found, base in ((now, False), (before, True)):
                own, swapped = (self._answered(entry, text, base=base)[1] for text in (entry.captions[0], other))
                found.append(own - swapped)
        return _size(now) / _size(before) if _size(before) else None

    def _nearest(self, base: bool = False) -> float | None:
        kind, to_nearest, to_own = self.trainer.model.prediction, 0.0, 0.0
        for entry in self.probes.held_out:
            batch, answer = self._answered(entry, entry.captions[0], base=base)
            noisy = add_noise(kind, batch.latent, batch.noise, batch.sigma)
            drawn = _coarse(clean_latent(kind, noisy, answer, batch.sigma))
            to_own += float((drawn - _coarse(batch.latent)).norm())
            to_nearest += float((self._trained_latents - drawn).norm(dim=1).min())
        return to_nearest / to_own if to_own else None

    @cached_property
    def _trained_latents(self) -> Tensor:
        """(pictures, numbers)"""
        data, model = self.trainer.data, self.trainer.model
        entries = some_of(data.trained, MOST_COMPARED)
        return torch.stack([_coarse(model.prepare_latent(data.latent(entry).clone()[None])) for entry in entries])

    def _wanted(self, batch: Batch) -> Tensor:
        return target(self.trainer.model.prediction, batch.latent, batch.noise, batch.sigma)

    def _answered(self, entry: Entry, caption: str, level: float = HIGHEST, base: bool = False) -> tuple[Batch, Tensor]:
        """A picture at a noise level, and what the network says to it with a caption."""
        batch = self.trainer.rows.fixed(entry, caption, level, "validation", entry.image_key, str(level))
        known, key = self._of_base if base else self._of_now, (entry.latent_key, caption)
        if level == HIGHEST and key in known:
            return batch, known[key].to(batch.latent.device)
        self.trainer.reporter.check_interrupt()
        answer = self.trainer.base_answer(batch) if base else self._answer(batch)
        if level == HIGHEST:
            known[key] = answer.cpu()
        return batch, answer

    def _answer(self, batch: Batch) -> Tensor:
        model = self.trainer.model
        noisy = add_noise(model.prediction, batch.latent, batch.noise, batch.sigma)
        return model.predict(noisy, batch.sigma, batch.rows).to(batch.latent.dtype)


def _size(tensors: Sequence[Tensor]) -> float:
    """Root mean square over all of them."""
    squares = [float(tensor.float().square().mean()) for tensor in tensors]
    return (sum(squares) / len(squares)) ** 0.5 if squares else 0.0


def _coarse(latent: Tensor) -> Tensor:
    """(1, channels, ..., height, width) as one row of numbers that compares across sizes; frames are averaged."""
    still = latent.float().mean(2) if latent.ndim == 5 else latent.float()
    return adaptive_avg_pool2d(still, COARSE)[0].flatten().cpu()
