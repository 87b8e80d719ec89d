from __future__ import annotations

from collections import Counter

import pytest

from danlu.training.batches import BatchPlan
from danlu.training.data import Entry, TrainingData

from .toys import ToyCache, entry

ENTRIES = (
    entry("a", repeats=4),
    entry("b", repeats=2, size=(64, 32)),
    entry("c", repeats=2),
    entry("d", repeats=4, size=(64, 32)),
)


def plan(batch_size: int, seed: int = 0, entries: tuple[Entry, ...] = ENTRIES) -> BatchPlan:
    return BatchPlan.of(entries, batch_size, seed)


def names(plan: BatchPlan, start: int, count: int) -> list[str]:
    return [row.name for index in range(start, start + count) for row in plan.rows(index)]


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_an_epoch_shows_each_picture_as_often_as_it_repeats(batch_size: int, epoch: int) -> None:
    order = plan(batch_size)
    assert order.batches_per_epoch == 12 // batch_size
    shown = names(order, epoch * order.batches_per_epoch, order.batches_per_epoch)
    assert Counter(shown) == {"a.png": 4, "b.png": 2, "c.png": 2, "d.png": 4}


@pytest.mark.parametrize("batch_size", [2, 3, 4, 5])
def test_rows_of_a_batch_share_a_bucket(batch_size: int) -> None:
    order = plan(batch_size)
    for index in range(3 * order.batches_per_epoch):
        rows = order.rows(index)
        assert len(rows) == batch_size
        assert len({row.target_size for row in rows}) == 1


def test_a_bucket_smaller_than_the_batch_fills_up_from_itself() -> None:
    order = plan(8, entries=(entry("a"), entry("b"), entry("c", size=(64, 32))))
    assert order.batches_per_epoch == 2
    batches = sorted(tuple(sorted({row.name for row in order.rows(index)})) for index in range(2))
    assert batches == [("a.png", "b.png"), ("c.png",)]


def test_nobody_is_left_out_where_a_bucket_does_not_divide() -> None:
    shown = Counter(names(plan(5), 0, plan(5).batches_per_epoch))
    assert all(shown[row.name] >= row.repeats for row in ENTRIES)


def test_a_pure_function_of_seed_and_index() -> None:
    one, same, other = plan(1, seed=1), plan(1, seed=1), plan(1, seed=2)
    backwards = [one.rows(index)[0].name for index in reversed(range(24))]
    assert names(same, 0, 24) == backwards[::-1]
    assert names(other, 0, 24) != names(one, 0, 24)


def test_epochs_differ() -> None:
    order = plan(1)
    assert names(order, 0, 12) != names(order, 12, 12)


def test_the_order_of_files_plays_no_part() -> None:
    assert names(plan(2), 0, 12) == names(plan(2, entries=ENTRIES[::-1]), 0, 12)


def test_samples_per_epoch() -> None:
    data = TrainingData(ENTRIES, ToyCache(lambda _caption: 3), "", "fingerprint", 4)
    assert data.samples_per_epoch == 12
