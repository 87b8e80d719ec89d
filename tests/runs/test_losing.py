"""Ways to lose what was trained, each of them tried."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from danlu.errors import DanluError
from danlu.training import disk, run
from danlu.training.disk import DiskError
from danlu.training.request import TrainRequest, identity
from danlu.training.runs import store as store_module
from danlu.training.runs.locate import adopt
from danlu.training.runs.store import SEGMENT_END, RunStore
from danlu.training.watch import Diverged

from .toy_runs import STEPS, Stopped, Watcher, cut, fresh, request, same, train

HELD: dict[str, Any] = {"schedule_steps": STEPS, "lr_scheduler": "constant", "validation": "off"}


def only(runs: Path) -> RunStore:
    (folder,) = runs.iterdir()
    return RunStore(folder)


def test_going_back_to_fewer_steps_and_being_stopped_there(tmp_path: Path) -> None:
    """States of later steps do not push out those on the way."""
    runs = tmp_path / "runs"
    cut(request(runs, **HELD), 11)
    assert only(runs).states.steps() == [8, 11]
    asked = request(runs, steps=7, **HELD)
    cut(asked, 6)
    watcher = Watcher()
    ended = train(asked, watcher)
    assert watcher.steps == [7]
    assert same(ended.lora, train(request(tmp_path / "alone", steps=7, **HELD)).lora)
    train(request(runs, **HELD))
    assert only(runs).states.steps() == [7, 11, 12]


def test_a_step_that_was_cancelled_at_is_asked_for(tmp_path: Path) -> None:
    cut(request(tmp_path, **HELD), 7)
    watcher = Watcher()
    ended = train(request(tmp_path, steps=7, **HELD), watcher)
    assert watcher.steps == [] and ended.handle.step == 7
    assert same(ended.lora, train(request(tmp_path / "alone", steps=7, **HELD)).lora)


def test_a_checkpoint_that_keep_last_removed_is_asked_for(tmp_path: Path) -> None:
    train(replace(request(tmp_path, **HELD), save_every=2, keep_last=0))
    store = only(tmp_path)
    assert 10 in store.states.steps() and [c.step for c in store.checkpoints()] == [12]
    watcher = Watcher()
    ended = train(request(tmp_path, steps=10, **HELD), watcher)
    assert watcher.steps == []
    assert same(ended.lora, train(request(tmp_path / "alone", steps=10, **HELD)).lora)


def test_what_a_node_handed_out_stays_also_when_it_came_from_disk(tmp_path: Path) -> None:
    train(request(tmp_path, steps=8, **HELD))
    answered = train(request(tmp_path, steps=4, **HELD))
    ended = train(replace(request(tmp_path, **HELD), save_every=1, keep_last=1))
    assert [c.step for c in ended.handle.checkpoints()] == [4, 8, 11, 12]
    assert answered.handle.checkpoints()[-1].step == 4
    assert only(tmp_path).pinned() == {4: SEGMENT_END, 8: SEGMENT_END, 12: SEGMENT_END}


def test_a_pin_of_the_user_is_not_taken_over(tmp_path: Path) -> None:
    train(request(tmp_path, **HELD))
    only(tmp_path).pin(4, "the user")
    train(request(tmp_path, steps=4, **HELD))
    assert only(tmp_path).pinned()[4] == "the user"


def test_a_checkpoint_that_cannot_be_read_is_trained_again(tmp_path: Path) -> None:
    whole = train(request(tmp_path, **HELD))
    path = only(tmp_path).checkpoint_path(STEPS)
    content = path.read_bytes()
    for damaged in (b"", content[:50], content[:-5]):
        path.write_bytes(damaged)
        watcher = Watcher()
        assert same(train(request(tmp_path, **HELD), watcher).lora, whole.lora)
        assert watcher.steps == [] and path.read_bytes() == content, "the state of that step makes it anew"


def test_another_process_made_the_run_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it was created with counts, although this process had reckoned with another horizon."""
    settings: dict[str, Any] = {"lr_scheduler": "linear", "warmup_steps": 0, "validation": "off"}
    whole = train(replace(request(tmp_path / "whole", steps=5, **settings)))
    longer = train(request(tmp_path / "whole", **settings))
    create = run._train_locked

    def late(*arguments: Any) -> int:
        shutil.copytree(whole.handle.folder, tmp_path / "late" / whole.handle.folder.name, dirs_exist_ok=True)
        for step in (8, 12):
            for name in ("states", "checkpoints", "pins"):
                for file in (tmp_path / "late" / whole.handle.folder.name / name).glob(f"{step:06}*"):
                    file.unlink()
        return create(*arguments)

    monkeypatch.setattr(run, "_train_locked", late)
    watcher = Watcher()
    ended = train(request(tmp_path / "late", **settings), watcher)
    assert watcher.steps == list(range(6, STEPS + 1))
    assert same(ended.lora, longer.lora)


def exploding(asked: TrainRequest, watcher: Watcher, steps: Collection[int]) -> TrainRequest:
    """The model's answers in these steps are a thousand times as large."""
    predict = asked.model.predict

    def explode(*arguments: Any) -> torch.Tensor:
        now = len(watcher.steps) + 1
        return predict(*arguments) * (1e3 if now in steps else 1.0)

    asked.model.predict = explode  # type: ignore[method-assign, assignment]
    return asked


def test_what_falls_apart_leaves_the_last_good_state(tmp_path: Path) -> None:
    """Saved at every step: the bad ones must not push out the good ones."""
    asked = replace(request(tmp_path, steps=60, **{**HELD, "schedule_steps": 60}), save_every=1)
    watcher = Watcher()
    with pytest.raises(Diverged, match="has been above 10 times"):
        train(exploding(asked, watcher, range(21, 60)), watcher)
    assert watcher.steps[-1] == 24
    store = only(tmp_path)
    assert store.states.steps() == [19, 20]
    watcher = Watcher()
    again = replace(fresh(asked, tmp_path), when_changed="continue", steps=24)
    slower = replace(again, training=replace(asked.training, learning_rate=1e-3))
    train(slower, watcher)
    assert watcher.steps == [21, 22, 23, 24], "it goes on from before it fell apart"


def test_a_loss_that_is_high_once_costs_nothing(tmp_path: Path) -> None:
    asked = replace(request(tmp_path, steps=20, **{**HELD, "schedule_steps": 20}), save_every=1)
    cut(asked, 15)
    watcher = Watcher(stop_after=16)
    with pytest.raises(Stopped):
        train(exploding(fresh(asked, tmp_path), watcher, [1]), watcher)
    assert only(tmp_path).states.steps() == [14, 15, 16], "the bad one pushes out no good one"
    train(fresh(asked, tmp_path))
    assert only(tmp_path).states.steps() == [19, 20]


def test_runs_of_others_are_no_obstacle(tmp_path: Path) -> None:
    """Damaged ones, and those of an older version."""
    first = train(request(tmp_path, steps=3))
    for name, content in (("a" * 24, '{"seed": 1}'), ("b" * 24, "{"), ("c" * 24, "[]")):
        shutil.copytree(first.handle.folder, tmp_path / name)
        (tmp_path / name / "manifest.json").write_text(content)
        RunStore(tmp_path / name).use_as("toy")
    watcher = Watcher()
    train(request(tmp_path, steps=3, learning_rate=1e-3), watcher)
    assert watcher.steps == [1, 2, 3] and "learning_rate 0.01 → 0.001" in watcher.texts[0]


def test_an_identity_is_the_same_from_disk(tmp_path: Path) -> None:
    asked = request(tmp_path, steps=1, optimizer_args="betas=(0.9, 0.95)", loss="huber", ema_decay=0.9)
    train(asked)
    assert only(tmp_path).manifest()["identity"] == identity(asked) == json.loads(json.dumps(identity(asked)))


def test_a_run_that_cannot_be_made_is_loud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request(tmp_path / "runs")

    def full(_path: Path, _content: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(store_module, "write_json", full)
        with pytest.raises(DiskError, match=r"could not be written to .*No space left"):
            train(asked)
    assert same(train(asked).lora, train(request(tmp_path / "whole")).lora)


def test_the_last_mark_of_a_run_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request(tmp_path / "runs")

    def full(_self: RunStore, _step: int, _why: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(RunStore, "pin", full)
        with pytest.raises(DiskError, match=r"could not be written to .*No space left"):
            train(asked)
    watcher = Watcher()
    ended = train(asked, watcher)
    assert watcher.steps == [] and same(ended.lora, train(request(tmp_path / "whole")).lora)
    assert list(only(tmp_path / "runs").pinned()) == [STEPS]


def test_a_file_lies_where_the_runs_belong(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(DiskError, match="cannot be written to"):
        train(request(tmp_path / "runs"))


def test_a_parent_that_goes_away_while_it_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train(request(tmp_path, steps=5))
    child = replace(request(tmp_path, steps=9, learning_rate=5e-3), run=first.handle)

    def gone(*arguments: Any) -> None:
        adopt(*arguments)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(run, "adopt", gone)
        with pytest.raises(DiskError, match="Input/output error"):
            train(child)
    ended = train(child)
    assert ended.losses[:5] == first.losses and len(ended.losses) == 9


def test_a_step_whose_state_is_gone_says_what_helps(tmp_path: Path) -> None:
    first = train(request(tmp_path, steps=5))
    RunStore(first.handle.folder).states.path(5).unlink()
    with pytest.raises(DanluError, match="has no state of step 5 any more.*Save LoRA.*start_lora"):
        train(replace(request(tmp_path, steps=9, learning_rate=5e-3), run=first.handle))


# The disk


def test_what_it_will_take_is_told_before_the_first_step(tmp_path: Path) -> None:
    watcher = Watcher()
    ended = train(request(tmp_path), watcher)
    (told,) = (text for text in watcher.texts if "on disk" in text)
    assert told.startswith("4 images × repeats 1"), "beside the plan, not in its place"
    found = re.search(r"about ([\d.]+) KB on disk: 3 checkpoints, log and state; .* are free", told)
    size = sum(file.stat().st_size for file in ended.handle.folder.rglob("*.*")) / 1024
    assert found and 0.4 * size < float(found[1]) < 3 * size


def test_a_disk_that_is_too_small_refuses_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "free_disk", lambda _folder: disk.SPARE)
    watcher = Watcher()
    with pytest.raises(DiskError, match="Free some space, raise save_every, or set keep_last"):
        train(request(tmp_path), watcher)
    assert watcher.steps == [] and not list(tmp_path.glob("*/manifest.json"))


def test_what_lies_there_already_is_not_asked_for_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is nearly full lets a run go on that has most of its files."""
    asked = request(tmp_path, steps=40)
    fits = [disk.SPARE]
    monkeypatch.setattr(disk, "free_disk", lambda _folder: fits[0])
    fits[0] = 10**12
    cut(asked, 37)
    there = sum(file.stat().st_size for file in tmp_path.rglob("*.safetensors"))
    fits[0] = disk.SPARE + there // 2
    watcher = Watcher()
    train(asked, watcher)
    assert watcher.steps == [38, 39, 40]
    with pytest.raises(DiskError):
        train(replace(asked, seed=1))
