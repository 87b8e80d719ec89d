"""Lists of runs, and making room: nothing goes that somebody may still want."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from danlu.advisor.reading import read_evidence
from danlu.advisor.verdicts import judge
from danlu.errors import DanluError
from danlu.training.reporter import Command
from danlu.training.runs.overview import chosen, disk_use, facts, label, overview, readable, table
from danlu.training.runs.prune import prune_checkpoints, prune_states, to_trash
from danlu.training.runs.store import RunStore

from .toy_runs import STEPS, Watcher, fresh, request, same, train


def make(folder: Path) -> RunStore:
    """Checkpoints at 4, 5, 8, 12; 5 and 12 are ends of train nodes; states at 5, 8, 12."""
    held: dict[str, Any] = {"schedule_steps": STEPS, "validation": "off"}
    train(request(folder, steps=5, **held))
    return RunStore(train(request(folder, **held)).handle.folder)


def steps(store: RunStore) -> list[int]:
    return [checkpoint.step for checkpoint in store.checkpoints()]


def size(store: RunStore) -> int:
    return sum(file.stat().st_size for file in store.folder.rglob("*") if file.is_file())


def test_states_but_the_newest(tmp_path: Path) -> None:
    store = make(tmp_path)
    assert store.states.steps() == [5, 8, 12]
    before = size(store)
    freed = prune_states(store)
    assert store.states.steps() == [12] and freed == before - size(store) > 0
    watcher = Watcher()
    train(request(tmp_path, steps=STEPS + 2, schedule_steps=STEPS, validation="off"), watcher)
    assert watcher.steps == [13, 14]
    assert prune_states(store) > 0 and prune_states(store) == 0


def test_a_state_that_the_user_pinned_stays(tmp_path: Path) -> None:
    store = make(tmp_path)
    store.pin(8, "the user")
    prune_states(store)
    assert store.states.steps() == [8, 12]


def test_checkpoints_but_the_pinned_and_the_last(tmp_path: Path) -> None:
    store = make(tmp_path)
    assert steps(store) == [4, 5, 8, 12]
    before = size(store)
    freed = prune_checkpoints(store)
    assert steps(store) == [5, 12] and freed == before - size(store) > 0
    again = Watcher()
    train(request(tmp_path, steps=5, schedule_steps=STEPS, validation="off"), again)
    train(request(tmp_path, schedule_steps=STEPS, validation="off"), again)
    assert again.steps == []


def test_the_best_stays(tmp_path: Path) -> None:
    """Where checkpoints were measured; it need not be pinned."""
    for seed in range(6):
        made = train(replace(request(tmp_path / str(seed), validation="on"), seed=seed, save_every=1))
        store = RunStore(made.handle.folder)
        best = judge(read_evidence(store.folder)).ranking[0]
        if best != STEPS:
            break
    assert best != STEPS, "every one of them learned to the end: this test says nothing"
    prune_checkpoints(store)
    assert steps(store) == [best, STEPS]


def test_the_last_of_a_run_that_was_cancelled_stays(tmp_path: Path) -> None:
    from .toy_runs import cut

    cut(request(tmp_path, validation="off"), 10)
    store = RunStore(next(tmp_path.iterdir()))
    prune_checkpoints(store)
    assert steps(store) == [8] and not store.pinned()


def test_where_the_user_ended_it_stays(tmp_path: Path) -> None:
    asked = request(tmp_path, schedule_steps=STEPS, validation="off")
    store = RunStore(train(asked, Watcher(commands={6: Command.FINISH})).handle.folder)
    train(asked)
    for pin in store.pinned():
        store.unpin(pin)
    store.save_checkpoint(11, *store.load_checkpoint(6))
    prune_checkpoints(store)
    assert steps(store) == [6, 11]


def test_what_is_being_trained_is_left_alone(tmp_path: Path) -> None:
    store = make(tmp_path)
    with store.locked(Watcher()):
        for act, word in ((prune_states, "prune"), (prune_checkpoints, "prune"), (to_trash, "remove")):
            with pytest.raises(DanluError, match=rf"toy \([0-9a-f]{{8}}\) is being trained: {word} it when"):
                act(store)
    assert steps(store) == [4, 5, 8, 12] and store.states.steps() == [5, 8, 12]


def test_a_run_in_the_trash_comes_back_whole(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    store = make(runs)
    files = {file.relative_to(store.folder): file.read_bytes() for file in store.folder.rglob("*.safetensors")}
    gone = to_trash(store)
    assert not store.exists and gone.parent == tmp_path / "trash" and overview(runs) == []
    assert {file.relative_to(gone): file.read_bytes() for file in gone.rglob("*.safetensors")} == files
    # The same run again, and into the trash again: neither takes the other's place.
    whole = train(request(runs, schedule_steps=STEPS, validation="off"))
    assert to_trash(RunStore(whole.handle.folder)) != gone and gone.exists()
    shutil.move(gone, store.folder)
    watcher = Watcher()
    assert same(train(fresh(request(runs, schedule_steps=STEPS, validation="off"), runs), watcher).lora, whole.lora)
    assert watcher.steps == []


def test_a_run_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(DanluError, match="is gone"):
        to_trash(RunStore(tmp_path / "runs" / "x"))


def test_files_that_two_runs_share_free_nothing_and_count_once(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    first = train(request(runs, steps=5, validation="off"))
    child = train(replace(request(runs, steps=9, learning_rate=5e-3, validation="off"), run=first.handle))
    found = overview(runs)
    assert [run.store.folder for run in found] == [child.handle.folder, first.handle.folder]
    shared = (child.handle.folder / "checkpoints" / "000004.safetensors").stat()
    assert shared.st_nlink == 2
    every = [file.stat() for run in found for file in run.store.folder.rglob("*") if file.is_file()]
    doubled = sum(stat.st_size // 2 for stat in every if stat.st_nlink == 2)
    assert disk_use(found) == sum(stat.st_size for stat in every) - doubled < sum(run.size for run in found)
    own = (child.handle.folder / "checkpoints" / "000008.safetensors").stat().st_size
    assert prune_checkpoints(RunStore(child.handle.folder)) == own, "4 and 5 are still the first run's"


def test_the_list(tmp_path: Path) -> None:
    store = make(tmp_path)
    found = facts(store)
    assert found.size == size(store) == found.checkpoints + found.states + found.other
    assert (found.steps, found.pinned) == ((4, 5, 8, 12), (5, 12))
    assert found.states == sum(file.stat().st_size for file in store.states.folder.iterdir())
    shown = table([found])
    assert shown.splitlines()[1].startswith(f"toy ({store.id[:8]})    12  4 · ")
    assert shown.splitlines()[2].startswith("1 run, ") and table([]) == "There are no runs yet."


def test_choosing_one(tmp_path: Path) -> None:
    first = RunStore(train(request(tmp_path, steps=1)).handle.folder)
    second = RunStore(train(replace(request(tmp_path, steps=1), seed=1)).handle.folder)
    assert chosen(tmp_path, "toy").id == second.id, "of one name, the one last used"
    for text in (label(first), first.id, first.id[:6], f"another name ({first.id[:8]})"):
        assert chosen(tmp_path, text).id == first.id
    first.use_as("other")
    assert chosen(tmp_path, "other").id == first.id and chosen(tmp_path, "toy").id == second.id
    with pytest.raises(DanluError, match=rf"no run 'mine'.*There are: other \({first.id[:8]}\), toy"):
        chosen(tmp_path, "mine")
    with pytest.raises(DanluError, match="There are: none yet"):
        chosen(tmp_path / "empty", "mine")


def test_what_cannot_be_read_is_found(tmp_path: Path) -> None:
    store = make(tmp_path)
    assert readable(store) == []
    for name in ("states/000008.safetensors", "checkpoints/000005.safetensors", "names.json"):
        path = store.folder / name
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        assert len(readable(store)) == 1 and readable(store)[0].startswith(name)
        path.write_bytes(content)
