"""What a run writes of its checkpoints, and what follows from it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from danlu.advisor.reading import read_evidence
from danlu.advisor.verdicts import GOOD, HELD_OUT, OVER, Judgement, Verdict, judge
from danlu.tests.training.toys import training_data
from danlu.training import judging
from danlu.training.held_out import with_validation
from danlu.training.outline import outlined
from danlu.training.reporter import Command
from danlu.training.request import TrainRequest
from danlu.training.runs.store import RunStore

from .toy_runs import STEPS, Watcher, cut, fresh, request, same, train


def asked(folder: Path, steps: int = STEPS, **training: Any) -> TrainRequest:
    """With held-out pictures."""
    data = with_validation(training_data(24), training.get("validation", "auto"))
    return replace(request(folder, steps, **training), data=data)


def store_of(folder: Path) -> RunStore:
    return RunStore(next(folder.iterdir()))


def lines(folder: Path) -> list[dict[str, Any]]:
    return store_of(folder).validation.steps()


def test_each_checkpoint_is_measured_and_judged(tmp_path: Path) -> None:
    result = train(asked(tmp_path))
    assert [line["step"] for line in lines(tmp_path)] == [0, 4, 8, 12]
    assert all(len(line["held_out"]) == len(line["trained"]) == 4 for line in lines(tmp_path))
    assert len({str(line["held_out"]) for line in lines(tmp_path)}) == 4
    advice = json.loads((result.handle.folder / "advice.json").read_text())
    assert set(advice["recommended"]) == {4, 8, 12} and advice["basis"] == HELD_OUT
    assert "Advisor: " in result.summary


def test_measuring_changes_no_bit(tmp_path: Path) -> None:
    """The same pictures trained, measured or not: EMA and dropout on."""
    options: dict[str, Any] = {"ema_decay": 0.9}
    measured = train(asked(tmp_path / "on", **options))
    held = asked(tmp_path / "on", **options).data
    plain = replace(asked(tmp_path / "off", validation="off", **options), data=held)
    unmeasured = train(plain)
    assert same(measured.lora, unmeasured.lora) and measured.losses == unmeasured.losses
    assert not lines(tmp_path / "off") and not (unmeasured.handle.folder / "advice.json").exists()
    assert "Advisor" not in unmeasured.summary


def test_held_out_pictures_are_part_of_what_the_run_is(tmp_path: Path) -> None:
    held, all_trained = asked(tmp_path), asked(tmp_path, validation="off")
    assert outlined(held).store.folder != outlined(all_trained).store.folder
    # What measures and when it stops is no part of it.
    few = [
        replace(request(tmp_path, **options), name="few") for options in ({}, {"validation": "off"}, {"early_stop": 2})
    ]
    assert len({outlined(r).store.folder for r in few}) == 1


def test_a_stopped_run_goes_on_measuring(tmp_path: Path) -> None:
    train(asked(tmp_path / "whole"))
    stopped = asked(tmp_path / "cut")
    cut(stopped, 6)
    train(fresh(stopped, stopped.runs_folder))
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")


def test_the_averaged_weights_are_measured_as_they_are_saved(tmp_path: Path) -> None:
    train(asked(tmp_path / "ema", ema_decay=0.9))
    train(asked(tmp_path / "plain"))
    assert lines(tmp_path / "ema")[0] == lines(tmp_path / "plain")[0]
    assert lines(tmp_path / "ema")[-1]["held_out"] != lines(tmp_path / "plain")[-1]["held_out"]


def test_a_checkpoint_on_demand_is_measured_once(tmp_path: Path) -> None:
    train(asked(tmp_path), Watcher(commands={6: Command.SAVE, 8: Command.SAVE}))
    raw = (store_of(tmp_path).folder / "validation.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in raw] == [0, 4, 6, 8, 12]


def over_from(step: int) -> Any:
    """Stands in for the advisor: over-trained from `step` on, the first checkpoint the best."""

    def found(evidence: Any) -> Judgement:
        steps = [measure.step for measure in evidence.measures if measure.step]
        verdicts = tuple(Verdict(s, OVER if s >= step else GOOD, "") for s in steps)
        return Judgement(HELD_OUT, verdicts, tuple(sorted(evidence.checkpoints)))

    return found


def test_early_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "judge", over_from(8))
    stopped = train(asked(tmp_path, steps=40, early_stop=2, schedule_steps=40))
    assert stopped.handle.step == 12, "two of three checkpoints were over-trained"
    assert "Stopped early at step 12 of 40" in stopped.summary
    again = Watcher()
    assert train(asked(tmp_path, steps=40, early_stop=2, schedule_steps=40), again).handle.step == 12
    assert again.steps == []
    more = Watcher()
    whole = train(asked(tmp_path, steps=40, schedule_steps=40), more)
    assert more.steps == list(range(13, 41)) and whole.handle.step == 40
    assert same(whole.lora, train(asked(tmp_path / "whole", steps=40, schedule_steps=40)).lora)


def test_without_early_stop_it_trains_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "judge", over_from(4))
    assert train(asked(tmp_path)).handle.step == STEPS


def test_the_best_is_never_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "judge", over_from(8))
    result = train(replace(asked(tmp_path, steps=24), keep_last=1))
    assert [c.step for c in result.handle.checkpoints()] == [4, 20, 24]


def test_evidence_up_to_a_step(tmp_path: Path) -> None:
    result = train(asked(tmp_path))
    found = read_evidence(result.handle.folder, 8)
    assert found.checkpoints == (4, 8) and [m.step for m in found.measures] == [0, 4, 8]
    assert found.settings and found.settings["images"] == 22 and found.settings["rank"] == 2
    assert {v.step for v in judge(found).verdicts} == {4, 8}
