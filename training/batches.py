"""Which rows a step trains on: a pure function of (seed, step).

Every epoch shows each picture `repeats` times. Rows of one batch share a bucket (`Entry.bucket`); a bucket
that does not divide by the batch size fills its last batch from its own start.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import torch

from .data import Entry
from .rng import generator

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class BatchPlan:
    """The order of batches for one dataset, batch size and seed; the order of `entries` plays no part.

    Compared by identity: an epoch is looked up at every step, and hashing all entries each time would be dear.
    """

    entries: tuple[Entry, ...]
    batch_size: int
    seed: int

    @classmethod
    def of(cls, entries: Sequence[Entry], batch_size: int, seed: int) -> BatchPlan:
        # A renamed or moved file changes the order in which a folder is read, and must not change the run.
        ordered = sorted(entries, key=lambda e: (e.image_key, e.target_size, e.crop, e.captions))
        return cls(tuple(ordered), batch_size, seed)

    @property
    def batches_per_epoch(self) -> int:
        sizes: dict[tuple[int, ...], int] = defaultdict(int)
        for entry in self.entries:
            sizes[entry.bucket] += entry.repeats
        return sum(-(-count // self.batch_size) for count in sizes.values())

    def rows(self, index: int) -> tuple[Entry, ...]:
        """The entries of batch `index`, counted from 0 over the whole run."""
        epoch, position = divmod(index, self.batches_per_epoch)
        return tuple(self.entries[i] for i in _epoch(self, epoch)[position])


@lru_cache(maxsize=4)
def _epoch(plan: BatchPlan, epoch: int) -> tuple[tuple[int, ...], ...]:
    rng = generator(plan.seed, "epoch", epoch)
    repeated = [i for i, entry in enumerate(plan.entries) for _ in range(entry.repeats)]
    buckets: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i in _shuffled(repeated, rng):
        buckets[plan.entries[i].bucket].append(i)
    batches = [
        _filled(members, start, plan.batch_size)
        for _, members in sorted(buckets.items())
        for start in range(0, len(members), plan.batch_size)
    ]
    return tuple(_shuffled(batches, rng))


def _filled(members: list[int], start: int, size: int) -> tuple[int, ...]:
    return tuple(members[(start + k) % len(members)] for k in range(size))


def _shuffled(items: Sequence[T], rng: torch.Generator) -> list[T]:
    return [items[i] for i in torch.randperm(len(items), generator=rng).tolist()]
