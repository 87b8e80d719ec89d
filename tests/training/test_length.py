"""How many steps a run has, where the train node leaves it open."""

from __future__ import annotations

import pytest

from danlu.errors import DanluError
from danlu.training.config import TrainingConfig
from danlu.training.length import checked_length, planned_steps
from danlu.training.outline import auto_steps

from .toys import entry, training_data


@pytest.mark.parametrize(("pictures", "steps"), [(1, 1000), (12, 1000), (25, 2000), (100, 8000), (10_000, 8000)])
def test_eighty_a_picture_by_itself(pictures: int, steps: int) -> None:
    assert planned_steps("", pictures, 3 * pictures, 2) == steps


@pytest.mark.parametrize(
    ("length", "steps"),
    [("40 a picture", 1200), ("100 a picture", 3000), ("2000 steps", 2000), ("10 epochs", 300), ("0.5 epochs", 15)],
)
def test_lengths(length: str, steps: int) -> None:
    assert planned_steps(length, pictures=30, samples_per_epoch=60, rows=2) == steps


@pytest.mark.parametrize("length", ["10", "ten epochs", "-1 steps", "0 steps", "5 epochs!", "nan epochs"])
def test_what_is_no_length(length: str) -> None:
    with pytest.raises(DanluError, match="must be like"):
        checked_length(length)


def test_the_config_decides_and_the_batch_counts() -> None:
    data = training_data(entries=(entry("1", repeats=4), entry("2", repeats=6)))
    assert auto_steps(TrainingConfig(), data) == 1000
    assert auto_steps(TrainingConfig(length="3 epochs"), data) == 30
    assert auto_steps(TrainingConfig(length="3 epochs", batch_size=2, gradient_accumulation=4), data) == 4
