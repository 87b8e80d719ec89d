"""A dry step: forward and backward of one batch, by the trainer's own code, that trains nothing and writes nothing."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .data import Conditioning, TensorCache, TrainingData
from .loop import Trainer, largest_latent
from .memory import Needs, fits, needs, shown_bytes
from .shortage import is_out_of_memory

_GRID = 8
"""Latents are cut to multiples of this: what every network can halve three times."""
_CUTS = (4, 2)
"""Parts of each side at which activations are measured, when they are to be foretold."""


@dataclass(frozen=True)
class DryStep:
    peak: int
    """Bytes over those of base, adapters and gradients, at their most."""
    seconds: float


def dry_step(trainer: Trainer) -> DryStep:
    """The first batch of the largest size, twice: the first time for the memory, the second for the time."""
    trainer = replace(trainer, data=_of_largest(trainer.data))
    with trainer.lent():
        peak = _measured(trainer)
        start = time.perf_counter()
        _step(trainer)
        return DryStep(peak, time.perf_counter() - start)


def expected_activations(trainer: Trainer, checkpointing: str) -> int:
    """Bytes at the peak of a step with the largest batch, foretold from two with smaller pictures.

    Activations grow with the area, except those of the text: a straight line. Where the pictures are small already
    this is measured, not foretold.
    """
    config = replace(trainer.config, gradient_checkpointing=checkpointing)
    data = _of_largest(trainer.data)
    trainer = replace(trainer, data=data, config=config, activations=None)
    points: dict[float, int] = {}
    for cut in _CUTS:
        smaller = replace(data, cache=_Cut(data.cache, cut))
        share = _area(smaller) / _area(data)
        if share not in points:
            part = replace(trainer, data=smaller)
            with part.lent():
                points[share] = _measured(part)
    return _at_full_size(points)


@dataclass(frozen=True)
class Choice:
    """Whether activations are computed again in the backward pass, instead of kept."""

    checkpointing: str
    activations: int
    """Bytes at the peak of a step."""
    reason: str


def choose_checkpointing(trainer: Trainer) -> Choice:
    """On where a step without it would not fit the memory there is."""
    card = trainer.model.card()
    without = _needs_without(trainer)
    if without is None:
        reason = "gradient_checkpointing on: even a small step without it ran out of memory"
    else:
        taken = f"{shown_bytes(card.base + without.total)} of {shown_bytes(card.available)}"
        if fits(card, without):
            return Choice("off", without.activations, f"gradient_checkpointing off: {taken} are needed without it")
        reason = f"gradient_checkpointing on: {taken} would be needed without it"
    return Choice("on", expected_activations(trainer, "on"), reason)


def _needs_without(trainer: Trainer) -> Needs | None:
    """None where memory ran out on the way."""
    try:
        activations = expected_activations(trainer, "off")
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None
    return needs(trainer.parameters, trainer.config, activations)


def _measured(trainer: Trainer) -> int:
    # Gradients that are there already are added to in place: only what lives for the step alone is counted.
    for parameter in trainer.parameters:
        parameter.grad = torch.zeros_like(parameter)
    with peak_memory(trainer.model.device) as found:
        _step(trainer)
    return found[0]


def _step(trainer: Trainer) -> None:
    trainer.reporter.check_interrupt()
    try:
        trainer.accumulate(1)
        _wait(trainer.model.device)
    finally:
        for parameter in trainer.parameters:
            parameter.grad = None


def _wait(device: torch.device) -> None:
    module: Any = getattr(torch, device.type, None)
    if hasattr(module, "synchronize"):
        module.synchronize()


def _of_largest(data: TrainingData) -> TrainingData:
    """Only the training pictures of the largest size, and all that are not trained on."""
    largest = math.prod(largest_latent(data.trained, data))
    one_per_size = {entry.bucket: entry for entry in data.trained}
    size = next(size for size, entry in one_per_size.items() if math.prod(data.latent(entry).shape) == largest)
    return replace(
        data, entries=tuple(entry for entry in data.entries if entry.role != "train" or entry.bucket == size)
    )


def _area(data: TrainingData) -> int:
    return math.prod(largest_latent(data.trained, data))


def _at_full_size(points: dict[float, int]) -> int:
    """The line through the measured (share of the area, bytes) at 1; at least what was measured."""
    most = max(points.values())
    if 1.0 in points or len(points) < 2:
        return points.get(1.0, most)
    (small, at_small), (large, at_large) = sorted(points.items())
    return max(most, int(at_large + (1.0 - large) * (at_large - at_small) / (large - small)))


@dataclass(frozen=True)
class _Cut:
    """Latents, masks and references cut to a part of each side."""

    cache: TensorCache
    parts: int

    def latent(self, key: str) -> Tensor:
        latent = self.cache.latent(key)
        height, width = (min(side, -(-side // (self.parts * _GRID)) * _GRID) for side in latent.shape[-2:])
        return latent[..., :height, :width].clone()

    def conditioning(self, caption: str) -> Conditioning:
        return self.cache.conditioning(caption)


@contextmanager
def peak_memory(device: torch.device) -> Iterator[list[int]]:
    """What is allocated inside, at its most, in bytes; in the list once the context has ended.

    By the device's own allocator where torch keeps count of it (CUDA, ROCm, XPU), else by following tensors.
    """
    found: list[int] = []
    counter: Any = getattr(torch, device.type, None)
    if hasattr(counter, "reset_peak_memory_stats"):
        counter.reset_peak_memory_stats(device)
        before = counter.memory_allocated(device)
        yield found
        found.append(max(0, counter.max_memory_allocated(device) - before))
    else:
        with LiveTensors() as live:
            yield found
        found.append(live.peak)


_PLAIN = (Tensor, nn.Parameter)


class LiveTensors(TorchDispatchMode):
    """Bytes of the storages that were made inside and are alive, and their most; without what a kernel uses for itself.

    Every operation passes here, also those that autograd or a checkpointed block runs in the backward pass. (Hooks
    on saved tensors would not do: where in-place changes are allowed, torch puts hooks of its own in their place.)
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._known: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(kind not in _PLAIN for kind in types):
            # The host's quantised tensors do it by operations on plain ones, which come here next.
            return NotImplemented
        # What comes in unknown was there before.
        for storage in _storages((args, kwargs)):
            self._note(storage, 0)
        out = func(*args, **(kwargs or {}))
        for storage in _storages(out):
            self._note(storage, storage.nbytes())
        return out

    def _note(self, storage: torch.UntypedStorage, size: int) -> None:
        key = storage._cdata
        if key not in self._known:
            self._known[key] = weakref.ref(storage, partial(self._gone, key, size))
            self.live += size
            self.peak = max(self.peak, self.live)

    def _gone(self, key: int, size: int, _storage: object) -> None:
        self._known.pop(key, None)
        self.live -= size


def _storages(tree: Any) -> Iterator[torch.UntypedStorage]:
    for leaf in tree_leaves(tree):
        if type(leaf) in _PLAIN:
            yield leaf.untyped_storage()
