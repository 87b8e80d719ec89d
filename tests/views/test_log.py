"""The log of a run as a page draws it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from danlu.tests.runs.toy_runs import STEPS, request, train
from danlu.training.curves import smoothed
from danlu.training.runs.store import RunStore
from danlu.views.log import run_log


def test_a_whole_run(tmp_path: Path) -> None:
    result = train(request(tmp_path))
    found = run_log(RunStore(result.handle.folder), 0, 100)
    steps, losses, averages, rates = (list(each) for each in zip(*found["points"], strict=True))
    assert steps == list(range(1, STEPS + 1)) and losses == result.losses and averages == smoothed(result.losses)
    assert set(rates) == {line["learning_rate"] for line in RunStore(result.handle.folder).log.steps()}
    assert found["checkpoints"] == [4, 8, 12]
    assert [step for step, _ in found["validation"]["trained"]] == [0, 4, 8, 12]
    assert (found["run"], found["name"], found["last"]) == (result.handle.folder.name, "toy", STEPS)
    assert found["finished"] is None and found["notes"] == []
    json.dumps(found, allow_nan=False)


def test_from_a_step_on_with_the_averages_of_the_whole(tmp_path: Path) -> None:
    store = RunStore(train(request(tmp_path)).handle.folder)
    assert run_log(store, 9, 100)["points"] == run_log(store, 0, 100)["points"][8:]


def written(folder: Path, losses: list[float]) -> RunStore:
    store = RunStore(folder)
    for step, loss in enumerate(losses, 1):
        store.log.append({"step": step, "loss": loss, "learning_rate": 1e-4})
    return store


def test_extremes_stay_of_many_steps(tmp_path: Path) -> None:
    losses = [0.5] * 20_000
    losses[7_777], losses[15_000] = 0.01, 9.0
    found = run_log(written(tmp_path, losses), 0, 200)["points"]
    assert len(found) <= 200
    steps = [point[0] for point in found]
    assert steps == sorted(set(steps)) and steps[-1] == 20_000
    assert {0.01, 9.0} <= {point[1] for point in found}


def test_lines_that_are_no_steps_are_passed_over(tmp_path: Path) -> None:
    store = written(tmp_path, [0.5, float("nan"), 0.7])
    store.log.append({"step": 4})
    store.log.append({"step": 5, "loss": "high"})
    store.log.note(3, "another caption")
    store.validation.append({"step": 0, "held_out": [float("inf")], "trained": [0.5]})
    with store.log.path.open("a", encoding="utf-8") as file:
        file.write('{"step": 6, "lo')
    found = run_log(store, 0, 100)
    assert [point[0] for point in found["points"]] == [1, 3]
    assert found["validation"] == {"held_out": [], "trained": [(0, 0.5)]}
    assert found["notes"] == [{"after": 3, "note": "another caption"}]
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("odd", ["NaN", "1e400", "-1", "1" + "0" * 400, "null", "[1]", '"x"', "2.0"])
def test_odd_numbers_of_a_run_from_elsewhere(odd: str, tmp_path: Path) -> None:
    store = written(tmp_path, [0.5, 0.7])
    with store.log.path.open("a", encoding="utf-8") as file:
        file.write(f'{{"step": {odd}, "loss": 0.5}}\n{{"note": "a", "after": {odd}}}\n')
    with store.validation.path.open("a", encoding="utf-8") as file:
        file.write(f'{{"step": {odd}, "trained": [0.5]}}\n{{"step": 2, "trained": [0.5], "held_out": [{odd}]}}\n')
    found = run_log(store, 0, 100)
    assert [point[0] for point in found["points"]] == [1, 2] and found["validation"]["trained"] == [(2, 0.5)]
    assert found["notes"][0]["note"] == "a"
    json.dumps(found, allow_nan=False)


def test_nothing_yet(tmp_path: Path) -> None:
    found = run_log(RunStore(tmp_path), 0, 100)
    assert (found["points"], found["checkpoints"], found["last"]) == ([], [], 0)
