"""What is noted of the last training of a run: how far it was to go, how it ended, and the graph that asked for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from danlu.errors import DanluError
from danlu.training.reporter import Command
from danlu.training.runs.prune import from_trash, prune_checkpoints, prune_states, to_trash
from danlu.training.runs.session import (
    ENDED,
    FAILED,
    LARGEST_GRAPH,
    RUNNING,
    STOPPED,
    Origin,
    Session,
    is_imported,
    read_graph,
    read_session,
)
from danlu.training.runs.store import RunStore
from danlu.training.runs.transfer import export_run, import_run

from .toy_runs import STEPS, Watcher, cut, request, train

GRAPHS = {"workflow": {"nodes": [{"id": 2}, {"id": 1}]}, "prompt": {"2": {"class_type": "X"}, "1": {}}}
ORIGIN = Origin("flux.safetensors", "photos", GRAPHS)


def asked(folder: Path, steps: int = STEPS, **more: Any) -> Any:
    held: dict[str, Any] = {"schedule_steps": STEPS, "validation": "off"}
    return replace(request(folder, steps, **held), origin=ORIGIN, **more)


def only(folder: Path) -> RunStore:
    (found,) = folder.iterdir()
    return RunStore(found)


class Seen(Watcher):
    """Reads the session while training goes on."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.seen = folder, set[Session | None]()

    def check_interrupt(self) -> None:
        self.seen.add(read_session(only(self.folder).folder))


def test_while_it_trains_and_after(tmp_path: Path) -> None:
    watcher = Seen(tmp_path)
    store = RunStore(train(asked(tmp_path), watcher).handle.folder)
    running = Session(STEPS, RUNNING, "", "flux.safetensors", "photos", 4)
    assert watcher.seen == {running}
    assert read_session(store.folder) == replace(running, state=ENDED)
    for kind, graph in GRAPHS.items():
        assert json.dumps(read_graph(store.folder, kind)) == json.dumps(graph), "in the order of its nodes"


def test_it_is_no_part_of_what_the_run_is(tmp_path: Path) -> None:
    first = train(asked(tmp_path)).handle.folder
    assert train(replace(asked(tmp_path), origin=Origin())).handle.folder == first
    assert read_graph(first, "workflow"), "answered from disk: nothing was trained"


def test_a_later_training_notes_its_own(tmp_path: Path) -> None:
    folder = train(asked(tmp_path, 4)).handle.folder
    assert train(replace(asked(tmp_path), origin=Origin("b", "c", {"prompt": {"3": {}}}))).handle.folder == folder
    assert read_session(folder) == Session(STEPS, ENDED, "", "b", "c", 4)
    assert read_graph(folder, "prompt") == {"3": {}} and read_graph(folder, "workflow") is None


def test_cancelled_and_paused(tmp_path: Path) -> None:
    cut(asked(tmp_path), 5)
    found = read_session(only(tmp_path).folder)
    assert found and (found.state, found.steps) == (STOPPED, STEPS)
    from danlu.training.reporter import Paused

    with pytest.raises(Paused):
        train(asked(tmp_path), Watcher(commands={7: Command.PAUSE}))
    found = read_session(only(tmp_path).folder)
    assert found and (found.state, found.why) == (STOPPED, "")


def test_failed(tmp_path: Path) -> None:
    class Broken(Watcher):
        def check_interrupt(self) -> None:
            if self.steps == [1, 2]:
                raise ZeroDivisionError("by nothing " + "x" * 1000)

    with pytest.raises(ZeroDivisionError):
        train(asked(tmp_path), Broken())
    found = read_session(only(tmp_path).folder)
    assert found and found.state == FAILED
    assert found.why.startswith("ZeroDivisionError: by nothing") and len(found.why) == 300


def test_a_part_of_a_longer_training(tmp_path: Path) -> None:
    folder = train(asked(tmp_path, 4, horizon=STEPS)).handle.folder
    assert read_session(folder) == Session(STEPS, ENDED, "", "flux.safetensors", "photos", 4)


@pytest.mark.parametrize(
    "graph", [{"x": "y" * LARGEST_GRAPH}, {"x": float("nan")}, {"x": {1, 2}}, [1], "text", {}, None]
)
def test_what_cannot_be_kept_is_left_out(graph: Any, tmp_path: Path) -> None:
    train(asked(tmp_path, 4))
    train(replace(asked(tmp_path), origin=Origin(graphs={"workflow": graph, "prompt": {"1": {}}})))
    folder = only(tmp_path).folder
    assert read_graph(folder, "workflow") is None and not (folder / "workflow.json").exists(), "nor an older one"
    assert read_graph(folder, "prompt") == {"1": {}}


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '"x"', " " * LARGEST_GRAPH + "{}"])
def test_a_graph_that_somebody_else_wrote(text: str, tmp_path: Path) -> None:
    (tmp_path / "workflow.json").write_text(text, encoding="utf-8")
    assert read_graph(tmp_path, "workflow") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"steps": "x", "state": ""}', '{"steps": 1}'])
def test_a_session_that_cannot_be_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "session.json").write_text(text, encoding="utf-8")
    assert read_session(tmp_path) is None and read_session(tmp_path / "nowhere") is None


def test_it_travels_with_the_run(tmp_path: Path) -> None:
    cut(asked(tmp_path / "here"), 5)
    archive = export_run(only(tmp_path / "here"), tmp_path)
    there = import_run(archive, tmp_path / "there" / "runs").store
    assert is_imported(there.folder) and not import_run(archive, tmp_path / "there" / "runs").new
    assert read_session(there.folder) == read_session(only(tmp_path / "here").folder)
    assert read_graph(there.folder, "workflow") == GRAPHS["workflow"]
    train(asked(tmp_path / "there" / "runs"))
    assert not is_imported(there.folder), "it was trained here now"


def test_a_pinned_run_keeps_all(tmp_path: Path) -> None:
    train(asked(tmp_path / "runs", 8))
    store = only(tmp_path / "runs")
    store.keep(True)
    for act in (prune_states, prune_checkpoints, to_trash):
        with pytest.raises(DanluError, match="is pinned"):
            act(store)
    train(asked(tmp_path / "runs", keep_last=0))
    assert [checkpoint.step for checkpoint in store.checkpoints()] == [4, 8, 12]
    store.keep(False)
    assert prune_checkpoints(store) and prune_states(store)


def test_from_the_trash(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    train(asked(runs, 4))
    store = only(runs)
    gone = to_trash(store)
    train(asked(runs, 4))
    with pytest.raises(DanluError, match="is there again"):
        from_trash(gone, runs)
    other = to_trash(store)
    (store.folder / "checkpoints").mkdir(parents=True)
    assert from_trash(gone, runs).folder == store.folder and store.reached(4) == 4
    assert sorted(path.name for path in (tmp_path / "trash").iterdir()) == sorted([other.name, f"{store.id}-leftover"])
