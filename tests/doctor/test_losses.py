"""Losses by picture, out of a run's log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from danlu.doctor.losses import log_of, picture_losses
from danlu.doctor.sheet import CELL, GAP, HEAD, ORDERS, THUMB, pages
from danlu.errors import DanluError
from danlu.training.jobs import content_key
from danlu.training.runs.store import RunHandle, RunStore
from danlu.training.step_log import ROW_KEY, StepLog

from .sets import dataset_of, diagnosed, found, scene, scenes

COUNT = 10


def steps(keys: list[str], factors: dict[str, float], count: int = 300, seed: int = 0) -> list[StepLog]:
    """Losses that depend on the noise level above all, a little on chance, and on the picture as `factors` say."""
    rng = np.random.RandomState(seed)
    made = []
    for step in range(1, count + 1):
        key, sigma = keys[rng.randint(len(keys))], rng.uniform(0.02, 1)
        loss = (0.02 + sigma**2) * np.exp(rng.normal(0, 0.25)) * factors.get(key, 1.0)
        made.append(StepLog(step, loss, 1e-4, 1.0, rows=((key, sigma, loss),)))
    return made


def lines(log: list[StepLog]) -> tuple[dict[str, Any], ...]:
    return tuple(vars(entry) for entry in log)


def test_outliers_are_found_beneath_the_noise_levels(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, scenes(COUNT))
    keys = [content_key(picture.path)[:ROW_KEY] for picture in dataset.pictures]
    log = lines(steps(keys, {keys[3]: 2.5, keys[7]: 0.4}))
    high, low = found(dataset, "high loss", log=log), found(dataset, "low loss", log=log)
    assert high is not None and high.pictures == (4,)
    assert low is not None and low.pictures == (8,)
    table = found(dataset, "losses", log=log)
    assert table is not None and "Highest: #4 4.png (x2." in table.text and "Lowest: #8 8.png (x0." in table.text
    excess = diagnosed(dataset, log=log).excess
    assert 2 ** excess[4] == pytest.approx(2.5, rel=0.15) and 2 ** excess[1] == pytest.approx(1, rel=0.2)


def test_losses_stand_on_their_pictures(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, scenes(COUNT))
    keys = [content_key(picture.path)[:ROW_KEY] for picture in dataset.pictures]
    log = lines(steps(keys, {keys[3]: 2.5}))
    plain, marked = (pages(diagnosed(dataset, log=given), 1, ORDERS[1])[1] for given in (None, log))
    changed = np.abs(np.asarray(plain, dtype=int) - np.asarray(marked)).max(axis=2) > 0
    left, top = GAP, HEAD
    assert changed[top + THUMB - 28 : top + THUMB, left : left + 90].mean() > 0.3, "on the first picture"
    assert not changed[top : top + THUMB - 30, left : left + CELL].any()


def test_pairs_that_share_their_goal_share_its_losses(tmp_path: Path) -> None:
    goals = {**scenes(COUNT), "again.png": scene(4)}
    dataset = dataset_of(tmp_path, goals, befores={"4.png": scene(50), "again.png": scene(51)})
    keys = [content_key(picture.path)[:ROW_KEY] for picture in dataset.pictures[:COUNT]]
    log = lines(steps(keys, {keys[3]: 2.5}))
    high, table = found(dataset, "high loss", log=log), found(dataset, "losses", log=log)
    assert high is not None and high.pictures == (4, COUNT + 1)
    assert table is not None and f"over {len(log):,} draws" in table.text
    excess = diagnosed(dataset, log=log).excess
    assert excess[4] == excess[COUNT + 1]


def test_like_pictures_are_no_outliers(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, scenes(COUNT))
    keys = [content_key(picture.path)[:ROW_KEY] for picture in dataset.pictures]
    for seed in range(5):
        log = lines(steps(keys, {}, count=120, seed=seed))
        assert found(dataset, "high loss", log=log) is None and found(dataset, "low loss", log=log) is None


def test_high_noise_alone_makes_no_outlier() -> None:
    """One picture drew high levels only, whose losses are a hundred times as high."""
    rng = np.random.RandomState(0)
    log = []
    for step in range(400):
        key = f"p{step % 8}"
        sigma = rng.uniform(0.9, 1) if key == "p0" else rng.uniform(0.02, 1)
        log.append({"step": step, "rows": [(key, sigma, sigma**2 * np.exp(rng.normal(0, 0.1)))]})
    assert not [loss for loss in picture_losses(log) if loss.outlier]


def test_why_there_is_nothing_to_tell(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, scenes(COUNT))
    keys = [content_key(picture.path)[:ROW_KEY] for picture in dataset.pictures]
    whys = {
        "earlier version": ({"step": 1, "loss": 0.5},),
        "too short": lines(steps(keys, {}, count=8)),
        "other pictures": lines(steps([f"key{i}" for i in range(COUNT)], {})),
    }
    for words, log in whys.items():
        finding = found(dataset, "losses", log=log)
        assert finding is not None and words in finding.text
    assert found(dataset, "losses") is None, "no run, no word"


def test_the_log_of_a_run_up_to_its_handles_step(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run")
    store.folder.mkdir()
    for entry in steps(["a", "b"], {}, count=6):
        store.append_log(entry)
    handle = RunHandle(store.folder, 4, "mine")
    with pytest.raises(DanluError, match="The run of 'mine' is gone"):
        log_of(handle)
    (store.folder / "manifest.json").write_text("{}")
    assert [line["step"] for line in log_of(handle)] == [1, 2, 3, 4] and log_of(handle)[0]["rows"]
    with pytest.raises(DanluError, match="The input 'run' is no run of Danlu"):
        log_of({"loss": []})
