"""A run that was stopped ends with the same bits as one that was not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from danlu.errors import DanluError
from danlu.training.disk import DiskError
from danlu.training.reporter import Command, Paused
from danlu.training.runs.store import RunStore
from danlu.training.watch import Diverged

from .toy_runs import STEPS, Watcher, cut, fresh, request, same, train

OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"optimizer": "adafactor"},
    {"optimizer": "lion"},
    {"optimizer": "prodigy", "learning_rate": 1.0},
    {"optimizer": "schedulefree", "warmup_steps": 4},
    {"optimizer": "sgd", "optimizer_args": "momentum=0.9"},
    {"optimizer": "other", "optimizer_args": "class=NAdam"},
    {"lr_scheduler": "cosine_with_restarts", "warmup_steps": 3},
    {"lr_scheduler": "polynomial", "schedule_steps": 9},
    {"ema_decay": 0.9},
    {"gradient_accumulation": 3, "gradient_checkpointing": "on"},
    {"lora_plus_ratio": 4.0},
)


@pytest.mark.parametrize("training", OPTIONS, ids=lambda o: " ".join(map(str, o.values())) or "plain")
@pytest.mark.parametrize("step", [1, 6])
def test_whatever_the_settings(tmp_path: Path, training: dict[str, Any], step: int) -> None:
    whole = train(request(tmp_path / "whole", **training))
    asked = request(tmp_path / "cut", **training)
    cut(asked, step)
    watcher = Watcher()
    ended = train(fresh(asked, asked.runs_folder), watcher)
    assert watcher.steps == list(range(step + 1, STEPS + 1))
    assert same(whole.lora, ended.lora)
    assert whole.losses == ended.losses
    files = [[c.path.read_bytes() for c in result.handle.checkpoints()] for result in (whole, ended)]
    assert files[0] == files[1] and len(files[0]) == 3


@pytest.mark.parametrize("algorithm", ["dora", "pissa", "loha", "lokr", "oft"])
def test_whatever_the_algorithm(tmp_path: Path, algorithm: str) -> None:
    chosen = {"algorithm": algorithm, "dropout": 0.0}
    whole = train(request(tmp_path / "whole", lora=chosen))
    asked = request(tmp_path / "cut", lora=chosen)
    cut(asked, 5)
    assert same(whole.lora, train(fresh(asked, asked.runs_folder)).lora)


def test_from_every_state_that_was_ever_saved(tmp_path: Path) -> None:
    whole = train(request(tmp_path / "whole"))
    asked = request(tmp_path / "cut")
    for step in range(1, STEPS):
        cut(asked, step)
        store = RunStore(next(asked.runs_folder.iterdir()))
        assert store.states.steps()[-1] == step
        copy = tmp_path / f"copy {step}" / store.id
        shutil.copytree(store.folder, copy)
        assert same(whole.lora, train(fresh(asked, copy.parent)).lora)


def test_only_the_last_two_states_are_kept_and_pinned_ones(tmp_path: Path) -> None:
    first = train(request(tmp_path, steps=4, schedule_steps=40))
    train(request(tmp_path, steps=40, schedule_steps=40))
    # The end of each training is pinned.
    assert RunStore(first.handle.folder).states.steps() == [4, 36, 40]


def test_more_steps_train_only_these(tmp_path: Path) -> None:
    held: dict[str, Any] = {"schedule_steps": STEPS, "lr_scheduler": "constant"}
    whole = train(request(tmp_path / "whole", **held))
    part = train(request(tmp_path / "parts", steps=5, **held))
    watcher = Watcher()
    more = train(request(tmp_path / "parts", **held), watcher)
    assert part.handle.folder == more.handle.folder
    assert watcher.steps == list(range(6, STEPS + 1))
    assert same(whole.lora, more.lora) and whole.losses == more.losses
    # The earlier one is still there, and shows nothing of what came later.
    again = Watcher()
    answered = train(request(tmp_path / "parts", steps=5, **held), again)
    assert again.steps == [] and same(answered.lora, part.lora) and answered.losses == whole.losses[:5]
    assert [c.step for c in answered.handle.checkpoints()] == [4, 5]


def test_fewer_steps_than_there_are(tmp_path: Path) -> None:
    held: dict[str, Any] = {"schedule_steps": STEPS}
    train(request(tmp_path, **held))
    watcher = Watcher()
    three = train(request(tmp_path, steps=3, **held), watcher)
    assert watcher.steps == [1, 2, 3], "no state lies before step 3"
    assert same(three.lora, train(request(tmp_path / "alone", steps=3, **held)).lora)
    again = Watcher()
    train(request(tmp_path, **held), again)
    assert again.steps == []


def test_finish_now(tmp_path: Path) -> None:
    asked = request(tmp_path, schedule_steps=STEPS)
    ended = train(asked, Watcher(commands={7: Command.FINISH}))
    assert ended.handle.step == 7 and len(ended.losses) == 7
    again = Watcher()
    answered = train(asked, again)
    assert again.steps == [] and answered.handle.step == 7 and same(answered.lora, ended.lora)
    more = Watcher()
    longer = train(replace(asked, steps=STEPS + 2), more)
    assert more.steps == list(range(8, STEPS + 3))
    assert same(longer.lora, train(request(tmp_path / "whole", steps=STEPS + 2, schedule_steps=STEPS)).lora)


def test_pause(tmp_path: Path) -> None:
    asked = request(tmp_path / "a")
    with pytest.raises(Paused, match="after step 5"):
        train(asked, Watcher(commands={5: Command.PAUSE}))
    watcher = Watcher()
    ended = train(asked, watcher)
    assert watcher.steps[0] == 6
    assert same(ended.lora, train(request(tmp_path / "whole")).lora)


def test_save_now(tmp_path: Path) -> None:
    ended = train(request(tmp_path), Watcher(commands={6: Command.SAVE}))
    assert [c.step for c in ended.handle.checkpoints()] == [4, 6, 8, 12]
    early = train(request(tmp_path / "early"), Watcher(commands={0: Command.SAVE}))
    assert [c.step for c in early.handle.checkpoints()] == [1, 4, 8, 12], "asked for before the first step"


def test_a_state_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    asked = request(tmp_path / "cut")
    cut(asked, 9)
    store = RunStore(next(asked.runs_folder.iterdir()))
    newest = store.states.path(store.states.steps()[-1])
    newest.write_bytes(newest.read_bytes()[:100])
    watcher = Watcher()
    ended = train(asked, watcher)
    assert watcher.steps[0] == 9
    assert same(ended.lora, train(request(tmp_path / "whole")).lora)


def test_what_a_crash_left_is_cleared_up(tmp_path: Path) -> None:
    asked = request(tmp_path / "cut")
    cut(asked, 6)
    store = RunStore(next(asked.runs_folder.iterdir()))
    (store.folder / "states" / "000007.safetensors.123.tmp").write_bytes(b"half")
    with store.log.path.open("a") as file:
        file.write('{"step": 7, "lo')
    ended = train(asked)
    assert not list(store.folder.rglob("*.tmp"))
    assert ended.losses == train(request(tmp_path / "whole")).losses


def test_a_full_disk_is_loud_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from danlu.training.runs import states

    asked = request(tmp_path / "full")

    def full(_path: Path, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    cut(asked, 6)
    with monkeypatch.context() as patched:
        patched.setattr(states, "write_atomically", full)
        with pytest.raises(DiskError, match=r"No space left.*state of step 6 is whole"):
            train(asked)
    assert same(train(asked).lora, train(request(tmp_path / "whole")).lora)


def test_a_folder_that_goes_away_is_loud(tmp_path: Path) -> None:
    asked = request(tmp_path / "gone")

    class Removing(Watcher):
        def step(self, report: Any) -> None:
            super().step(report)
            if report.step == 5:
                shutil.rmtree(asked.runs_folder)

    with pytest.raises(DiskError, match="could not be written"):
        train(asked, Removing())


def test_a_run_that_diverges_keeps_no_state_of_it(tmp_path: Path) -> None:
    asked = request(tmp_path, steps=30)
    broken = replace(asked, model=asked.model)
    predict = asked.model.predict
    count = [0]

    def explode(*arguments: Any) -> torch.Tensor:
        count[0] += 1
        return predict(*arguments) * (float("nan") if count[0] > 20 else 1.0)

    asked.model.predict = explode  # type: ignore[method-assign, assignment]
    with pytest.raises(Diverged):
        train(broken)
    states = RunStore(next(tmp_path.iterdir())).states.steps()
    assert states and all(step % 4 == 0 for step in states)


def test_the_run_that_is_wired_goes_on(tmp_path: Path) -> None:
    held: dict[str, Any] = {"schedule_steps": STEPS}
    whole = train(request(tmp_path / "whole", **held))
    first = train(request(tmp_path, steps=5, **held))
    watcher = Watcher()
    second = train(replace(request(tmp_path, **held), run=first.handle), watcher)
    assert second.handle.folder == first.handle.folder and watcher.steps[0] == 6
    assert same(second.lora, whole.lora)
    with pytest.raises(DanluError, match="steps is 3, but the wired run is at step 5"):
        train(replace(request(tmp_path, steps=3, **held), run=first.handle))


def test_the_horizon_of_a_chain_is_its_last_step(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"lr_scheduler": "cosine", "warmup_steps": 2}
    whole = train(request(tmp_path / "whole", **settings))
    first = train(replace(request(tmp_path, steps=5, **settings), horizon=STEPS))
    second = train(replace(request(tmp_path, **settings), run=first.handle))
    assert same(second.lora, whole.lora) and second.losses == whole.losses


def test_another_run_than_the_wired_one_starts_from_its_lora(tmp_path: Path) -> None:
    first = train(request(tmp_path, steps=5))
    watcher = Watcher()
    asked = replace(request(tmp_path, steps=9, learning_rate=1e-12, weight_decay=0.0), run=first.handle)
    child = train(asked, watcher)
    assert child.handle.folder != first.handle.folder
    assert watcher.steps == [6, 7, 8, 9]
    assert all(torch.allclose(child.lora[key], first.lora[key], atol=1e-6) for key in child.lora)
    assert "learning_rate 0.01 → 1e-12" in watcher.texts[0] and "step 5, with a fresh optimizer" in watcher.texts[0]
    assert len(child.losses) == 9 and child.losses[:5] == first.losses
    assert [c.step for c in child.handle.checkpoints()] == [4, 5, 8, 9]
    cut_watcher = Watcher()
    assert same(train(asked, cut_watcher).lora, child.lora) and cut_watcher.steps == []


def test_a_child_goes_on_too(tmp_path: Path) -> None:
    def both(folder: Path, stop: bool) -> Any:
        first = train(request(folder, steps=5))
        asked = replace(request(folder, steps=11, learning_rate=5e-3), run=first.handle)
        if stop:
            cut(asked, 8)
        return train(asked)

    whole, stopped = both(tmp_path / "whole", False), both(tmp_path / "cut", True)
    assert same(whole.lora, stopped.lora) and whole.losses == stopped.losses


def test_what_changed_is_told_and_a_new_run_begins(tmp_path: Path) -> None:
    first = train(request(tmp_path, steps=5))
    watcher = Watcher()
    changed = replace(request(tmp_path, steps=5, learning_rate=5e-3, lora={"rank": 4}), seed=3)
    other = train(changed, watcher)
    assert other.handle.folder != first.handle.folder and watcher.steps == [1, 2, 3, 4, 5]
    assert "rank 2 → 4; learning_rate 0.01 → 0.005; seed 0 → 3" in watcher.texts[0]


@pytest.mark.parametrize("training", [{"learning_rate": 5e-3}, {"lr_scheduler": "cosine"}, {"optimizer": "lion"}])
def test_going_on_with_what_changed(tmp_path: Path, training: dict[str, Any]) -> None:
    first = train(request(tmp_path, steps=6))
    watcher = Watcher()
    changed = replace(request(tmp_path, **training), when_changed="continue")
    second = train(changed, watcher)
    assert watcher.steps == list(range(7, STEPS + 1))
    assert "It goes on from step 6" in watcher.texts[0]
    assert second.losses[:6] == first.losses
    store = RunStore(second.handle.folder)
    assert store.log.notes()[0]["after"] == 6 and "Compared with" in store.log.notes()[0]["note"]
    rates = [line["learning_rate"] for line in store.log.steps()]
    assert rates[5] == pytest.approx(1e-2)
    if "learning_rate" in training:
        assert rates[6] == pytest.approx(5e-3)
    again = Watcher()
    assert same(train(changed, again).lora, second.lora) and again.steps == []


def test_going_on_keeps_the_optimizer(tmp_path: Path) -> None:
    """With the moments kept, a step of an unchanged size; without, Adam's first step is as long as its rate."""
    whole = train(request(tmp_path / "whole", weight_decay=0.0))
    train(request(tmp_path, steps=6, weight_decay=0.0))
    changed = replace(request(tmp_path, weight_decay=1e-12), when_changed="continue")
    kept = train(changed)
    assert all(torch.allclose(kept.lora[key], whole.lora[key], atol=1e-6) for key in whole.lora)


def test_what_does_not_fit_is_no_ground_to_go_on_from(tmp_path: Path) -> None:
    train(request(tmp_path, steps=6))
    with pytest.raises(DanluError, match="algorithm, rank or layers are others"):
        train(replace(request(tmp_path, lora={"rank": 4}), when_changed="continue"))


def test_a_newer_version_goes_on_with_old_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from danlu.training import families

    asked = request(tmp_path, steps=6, learning_rate=-1)
    first = train(asked)
    monkeypatch.setattr(families, "_ALL", {**families._ALL, "weight_decay": 0.5})
    watcher = Watcher()
    second = train(replace(asked, steps=8), watcher)
    assert watcher.steps == [7, 8] and second.handle.folder == first.handle.folder
    assert second.handle.manifest["training"]["weight_decay"] != 0.5


def test_pinned_checkpoints_stay(tmp_path: Path) -> None:
    held: dict[str, Any] = {"schedule_steps": STEPS, "validation": "off"}
    first = train(request(tmp_path, steps=4, **held))
    RunStore(first.handle.folder).pin(6, "the user")
    ended = train(replace(request(tmp_path, **held), save_every=2, keep_last=1))
    assert [c.step for c in ended.handle.checkpoints()] == [4, 6, 10, 12], "of the others, the last one before the end"


def test_a_second_process_waits(tmp_path: Path) -> None:
    asked = request(tmp_path)
    cut(asked, 3)
    store = RunStore(next(tmp_path.iterdir()))

    class Impatient(Watcher):
        def check_interrupt(self) -> None:
            raise InterruptedError

    waiting = Impatient()
    with store.locked(Watcher()), pytest.raises(InterruptedError):
        train(fresh(asked, tmp_path), waiting)
    assert "Another ComfyUI trains this very run" in waiting.texts[-1]
    assert same(train(asked).lora, train(request(tmp_path / "whole")).lora)
