"""What a run shows of itself: what it tells its reporter, loss.csv, event files for TensorBoard."""

from __future__ import annotations

import csv
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import machinery
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from danlu.training import feedback
from danlu.training.curves import Points, smoothed
from danlu.training.loop import StepLog
from danlu.training.reporter import Reporter, RunReport, StepReport
from danlu.training.run import TrainResult
from danlu.training.runs.store import RunStore
from danlu.training.runs.table import curves_of, rows_of

from .toy_runs import STEPS, cut, request, train


@dataclass
class Viewer(Reporter):
    reports: list[StepReport] = field(default_factory=list)
    told: list[tuple[str, Any]] = field(default_factory=list)

    def began(self, run: RunReport) -> None:
        self.told.append(("began", run))

    def step(self, report: StepReport) -> None:
        self.reports.append(report)

    def checkpoint(self, step: int, validation: Mapping[str, Points]) -> None:
        steps = {name: [at for at, _ in points] for name, points in validation.items()}
        self.told.append(("checkpoint", (step, steps)))

    def ended(self) -> None:
        self.told.append(("ended", None))


def table(result: TrainResult) -> list[dict[str, str]]:
    with (result.handle.folder / "loss.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_is_the_log(tmp_path: Path) -> None:
    result = train(request(tmp_path, validation="off"))
    rows = table(result)
    assert list(rows[0]) == ["step", "loss", "smoothed", "learning_rate", "grad_norm", "prior_loss"]
    assert [int(row["step"]) for row in rows] == list(range(1, STEPS + 1))
    assert [float(row["loss"]) for row in rows] == result.losses
    assert [float(row["smoothed"]) for row in rows] == smoothed(result.losses)
    logged = RunStore(result.handle.folder).log.steps()
    for name in ("learning_rate", "grad_norm", "prior_loss"):
        assert [float(row[name]) for row in rows] == [line[name] for line in logged]


def test_a_run_that_went_on_has_one_table_and_one_average(tmp_path: Path) -> None:
    whole = train(request(tmp_path / "whole"))
    asked = request(tmp_path / "cut")
    cut(asked, 7)
    (run,) = asked.runs_folder.iterdir()
    assert len((run / "loss.csv").read_text().splitlines()) >= 8, "written when it was stopped too"
    viewer = Viewer()
    result = train(asked, viewer)
    assert table(result) == table(whole)
    assert [report.smoothed for report in viewer.reports] == smoothed(whole.losses)[7:]


def test_the_reporter_is_told_which_run_it_is_and_when_it_ends(tmp_path: Path) -> None:
    asked, viewer = request(tmp_path, steps=8, schedule_steps=STEPS), Viewer()
    result = train(asked, viewer)
    measured = {"held_out": [], "trained": [0, 4]}
    assert viewer.told == [
        ("began", RunReport(result.handle.folder.name, "toy", 8, known=False)),
        ("checkpoint", (4, measured)),
        ("checkpoint", (8, {**measured, "trained": [0, 4, 8]})),
        ("ended", None),
    ]
    again = Viewer()
    train(asked, again)
    assert [kind for kind, _ in again.told] == ["began", "ended"], "it lay on the disk"
    assert again.told[0][1].known


def test_the_end_is_told_whatever_it_is(tmp_path: Path) -> None:
    @dataclass
    class Breaks(Viewer):
        def step(self, report: StepReport) -> None:
            raise RuntimeError("broken")

    viewer = Breaks()
    with pytest.raises(RuntimeError, match="broken"):
        train(request(tmp_path), viewer)
    assert [kind for kind, _ in viewer.told] == ["began", "ended"]


def test_of_a_loop_the_whole_is_told(tmp_path: Path) -> None:
    viewer = Viewer()
    train(replace(request(tmp_path, steps=4), horizon=STEPS), viewer)
    assert viewer.told[0][1].steps == STEPS


def test_what_was_measured_has_columns(tmp_path: Path) -> None:
    store = RunStore(train(request(tmp_path, validation="off")).handle.folder)
    store.validation.append({"step": 0, "held_out": [0.6, 0.8], "trained": [], "effect": 0.0, "leak": None})
    store.validation.append({"step": 4, "held_out": [0.5, 0.7], "trained": [0.2, 0.4], "effect": 0.3, "leak": 0.1})
    rows = {row["step"]: row for row in rows_of(store)}
    assert len(rows) == STEPS + 1 and rows[0] == {
        "step": 0, "validation_held_out": pytest.approx(0.7), "validation_effect": 0.0,
    }  # fmt: skip
    assert rows[4]["validation_trained"] == pytest.approx(0.3) and rows[4]["validation_leak"] == 0.1
    assert "validation_held_out" not in rows[5]
    curves = curves_of(rows.values())
    assert len(curves.losses) == STEPS
    assert curves.validation["held_out"] == [(0, pytest.approx(0.7)), (4, pytest.approx(0.6))]
    assert [row["step"] for row in rows_of(store, 3)] == [0, 1, 2, 3]


def test_it_takes_a_hundredth_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes a second here, and an update two."""
    now = [0.0]
    updates: list[float] = []

    def slow(_store: RunStore, _rows: object) -> None:
        updates.append(now[0])
        now[0] += 2.0

    monkeypatch.setattr(feedback.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(feedback, "write_table", slow)
    shown = feedback.Feedback(RunStore(tmp_path), 0)
    after = shown.after(lambda _entry: None)
    for step in range(1, 1001):
        now[0] += 1.0
        after(StepLog(step, 0.5, 1e-4, 1.0))
    assert 2.0 * len(updates) <= 0.01 * now[0] + 2.0
    assert len(updates) > 3 and updates[0] == feedback.LEAST_SECONDS


def test_what_cannot_be_written_does_not_stop_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = train(request(tmp_path, steps=4, schedule_steps=STEPS))
    (first.handle.folder / "loss.csv").unlink()
    (first.handle.folder / "loss.csv").mkdir()
    with caplog.at_level(logging.WARNING):
        result = train(request(tmp_path, schedule_steps=STEPS))
    assert len(result.losses) == STEPS
    assert sum("could not be written" in record.message for record in caplog.records) == 1


class Writer:
    """Stands in for torch's SummaryWriter."""

    made: list[Writer] = []

    def __init__(self, log_dir: str, purge_step: int | None = None) -> None:
        self.purge_step, self.scalars, self.closed = purge_step, [], False  # type: ignore[var-annotated]
        Path(log_dir).mkdir(parents=True, exist_ok=True)
        (Path(log_dir) / f"events.out.{len(self.made)}").touch()
        self.made.append(self)

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.scalars.append((tag, value, step))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def tensorboard(monkeypatch: pytest.MonkeyPatch) -> type[Writer]:
    package, module = ModuleType("tensorboard"), ModuleType("torch.utils.tensorboard")
    package.__spec__ = machinery.ModuleSpec("tensorboard", None)
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorboard", package)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(Writer, "made", [])
    return Writer


def test_event_files_where_tensorboard_is_installed(tmp_path: Path, tensorboard: type[Writer]) -> None:
    held: dict[str, Any] = {"schedule_steps": STEPS, "validation": "off"}
    train(request(tmp_path, steps=5, **held))
    result = train(request(tmp_path, **held))
    first, second = tensorboard.made
    assert (result.handle.folder / "tensorboard").is_dir()
    assert (first.purge_step, second.purge_step) == (None, 6), "what an unfinished session wrote beyond is not shown"
    assert first.closed and second.closed
    losses = [(step, value) for w in (first, second) for tag, value, step in w.scalars if tag == "loss/step"]
    assert losses == list(enumerate(result.losses, 1))
    assert {tag for tag, _, _ in first.scalars} == {"loss/step", "loss/smoothed", "learning_rate", "grad_norm"}


def test_a_run_that_went_on_before_it_was_installed(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    from .toy_runs import request as asked

    held: dict[str, Any] = {"schedule_steps": STEPS, "validation": "off"}
    train(asked(tmp_path, steps=5, **held))
    assert not list(tmp_path.rglob("tensorboard"))
    writer = request.getfixturevalue("tensorboard")
    train(asked(tmp_path, **held))
    (made,) = writer.made
    assert sorted({step for _, _, step in made.scalars}) == list(range(1, STEPS + 1))


def test_a_broken_tensorboard_does_not_stop_it(
    tmp_path: Path, tensorboard: type[Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise TypeError("Descriptors cannot be created directly")

    monkeypatch.setattr(tensorboard, "add_scalar", broken)
    result = train(request(tmp_path))
    assert len(result.losses) == len([row for row in table(result) if row["loss"]]) == STEPS
