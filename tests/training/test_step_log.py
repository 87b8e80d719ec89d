"""A step's log names the pictures that it drew, at which noise level, with which loss."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from danlu.training.runs.store import RunStore

from .test_loop import run
from .test_prior import subjects, trained
from .toys import training_data


@pytest.mark.parametrize("settings", [{"batch_size": 1}, {"batch_size": 2, "gradient_accumulation": 2}])
def test_rows_are_those_of_the_plan(settings: dict[str, int], tmp_path: Path) -> None:
    made, log = run(3, data=training_data(4), **settings)
    batch, accumulation = settings["batch_size"], settings.get("gradient_accumulation", 1)
    for entry in log:
        indices = range((entry.step - 1) * accumulation, entry.step * accumulation)
        drawn = [picture for index in indices for picture in made.plan.rows(index)]
        assert [key for key, _, _ in entry.rows] == [picture.image_key[:12] for picture in drawn]
        sigmas = [made.rows.row(picture, entry.step, i).sigma.item() for i, picture in enumerate(drawn)]
        assert [sigma for _, sigma, _ in entry.rows] == pytest.approx(sigmas, rel=1e-4)
        assert sum(loss for _, _, loss in entry.rows) / (batch * accumulation) == pytest.approx(entry.loss, rel=1e-4)
    store = RunStore(tmp_path)
    store.append_log(log[0])
    assert json.loads(store.log.path.read_text())["rows"] == [list(row) for row in log[0].rows]


def test_prior_rows_are_no_pictures_rows() -> None:
    _, _, (step,) = trained(subjects(), steps=1, prior_preservation=1.0)
    assert len(step.rows) == 4
    assert sum(loss for _, _, loss in step.rows) / 4 == pytest.approx(step.loss, rel=1e-4)
