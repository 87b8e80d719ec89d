from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from danlu.training.formats import FileNames
from danlu.training.loop import StepLog
from danlu.training.runs.store import RunHandle, RunStore, run_id
from danlu.training.writing import write_atomically, write_json

TENSORS = {"a.lora_up.weight": torch.randn(4, 2), "a.alpha": torch.tensor(2.0)}


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore(tmp_path / "run")
    store.create({"seed": 1}, {}, FileNames({}, {}))
    return store


def steps(store: RunStore) -> list[int]:
    return [checkpoint.step for checkpoint in store.checkpoints()]


def test_a_file_is_whole_or_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(_source: object, _goal: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(OSError, match="no space"):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_two_threads_write_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, replace, others = tmp_path / "file", os.replace, list[threading.Thread]()

    def replace_late(source: Path, goal: Path) -> None:
        if not others:
            others.append(threading.Thread(target=write_atomically, args=(path, b"theirs")))
            others[0].start()
            others[0].join()
            assert path.read_bytes() == b"theirs"
        replace(source, goal)

    monkeypatch.setattr(os, "replace", replace_late)
    write_atomically(path, b"ours")
    assert path.read_bytes() == b"ours" and list(tmp_path.iterdir()) == [path]


def test_names_that_are_no_text(tmp_path: Path) -> None:
    write_json(tmp_path / "file", {"name": "caf\udce9 猫"})
    assert json.loads((tmp_path / "file").read_text(encoding="utf-8")) == {"name": "caf\udce9 猫"}


def test_content_is_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    sync, replace = os.fsync, os.replace

    def noted_sync(handle: int) -> None:
        order.append("sync")
        sync(handle)

    def noted_replace(source: Path, goal: Path) -> None:
        order.append("replace")
        replace(source, goal)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_atomically(tmp_path / "file", b"content")
    assert order[:2] == ["sync", "replace"]


def test_a_checkpoint_comes_back_with_its_facts(store: RunStore) -> None:
    store.save_checkpoint(250, TENSORS, {"step": "250"})
    tensors, facts = store.load_checkpoint(250)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert facts == {"step": "250"}
    assert store.checkpoint_path(250).name == "000250.safetensors"


def test_loaded_tensors_do_not_hang_on_the_file(store: RunStore) -> None:
    store.save_checkpoint(1, TENSORS, {})
    tensors, _ = store.load_checkpoint(1)
    store.checkpoint_path(1).write_bytes(b"\0" * store.checkpoint_path(1).stat().st_size)
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_checkpoints_can_be_opened_by_anybody(store: RunStore) -> None:
    store.save_checkpoint(1, TENSORS, {"family": "flux"})
    with safe_open(store.checkpoint_path(1), framework="pt") as file:
        assert file.metadata() == {"family": "flux"}


def test_the_same_content_gives_the_same_file(store: RunStore) -> None:
    facts = {f"fact {i}": str(i) for i in range(20)}
    files = set()
    for _ in range(5):
        store.save_checkpoint(1, TENSORS, facts)
        files.add(store.checkpoint_path(1).read_bytes())
    assert len(files) == 1
    assert store.load_checkpoint(1)[1] == facts


@pytest.mark.parametrize(
    ("count", "left"), [(-1, [10, 20, 30, 40]), (0, [40]), (1, [30, 40]), (2, [20, 30, 40]), (9, [10, 20, 30, 40])]
)
def test_keep_last_never_removes_the_final_one(store: RunStore, count: int, left: list[int]) -> None:
    for step in (10, 20, 30, 40):
        store.save_checkpoint(step, TENSORS, {})
    store.keep_last(count, final_step=40)
    assert steps(store) == left


def test_checkpoints_are_in_order_past_a_million(store: RunStore) -> None:
    for step in (999_999, 1_000_000, 5):
        store.save_checkpoint(step, TENSORS, {})
    assert steps(store) == [5, 999_999, 1_000_000]


def test_a_handle_shows_nothing_later_than_its_step(store: RunStore) -> None:
    for step in (10, 20, 30):
        store.save_checkpoint(step, TENSORS, {})
    handle = RunHandle(store.folder, 20, "mine")
    assert [checkpoint.step for checkpoint in handle.checkpoints()] == [10, 20]
    assert handle.manifest == {"seed": 1}


def test_the_log_has_a_line_a_step(store: RunStore) -> None:
    for step in range(1, 6):
        store.append_log(StepLog(step, loss=0.5 / step, learning_rate=1e-4, grad_norm=0.1))
    lines = [json.loads(line) for line in store.log.path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert lines[0] == {"step": 1, "loss": 0.5, "learning_rate": 1e-4, "grad_norm": 0.1, "prior_loss": 0.0}
    assert store.losses(3) == [0.5, 0.25, 0.5 / 3]


def test_no_log_yet(store: RunStore) -> None:
    assert store.losses(10) == []


def test_of_two_lines_for_a_step_the_later_counts_and_half_a_line_is_none(store: RunStore) -> None:
    for loss in (1.0, 0.5):
        store.append_log(StepLog(1, loss, 1e-4, 0.1))
    with store.log.path.open("a") as file:
        file.write('{"step": 2, "loss": 0.')
    store.log.mend()
    store.append_log(StepLog(2, 0.25, 1e-4, 0.1))
    store.log.note(2, "a note")
    assert store.losses(10) == [0.5, 0.25]
    assert [note["note"] for note in store.log.notes()] == ["a note"]


def test_a_runs_name_follows_from_what_it_is() -> None:
    parts = {"base": "b", "data": "d", "lora": {"rank": 4, "alpha": 4.0}, "seed": 0}
    assert run_id(parts) == run_id(dict(reversed(parts.items())))
    others = [{**parts, "seed": 1}, {**parts, "base": "c"}, {**parts, "lora": {"rank": 8, "alpha": 4.0}}]
    assert len({run_id(p) for p in [parts, *others]}) == 4
