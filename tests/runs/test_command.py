"""`dev.py runs`, as far as it runs in the host's Python; tests/dev has the door itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from danlu.training.runs.command import RUNS, main
from danlu.training.runs.store import RunStore

from .toy_runs import STEPS, Watcher, fresh, request, train


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    held: dict[str, Any] = {"schedule_steps": STEPS}
    train(request(tmp_path / "base" / RUNS, steps=5, **held))
    return RunStore(train(request(tmp_path / "base" / RUNS, **held)).handle.folder)


def call(tmp_path: Path, *arguments: object) -> int:
    return main(["--packages", "x", "--base-directory", str(tmp_path / "base"), *map(str, arguments)])


def test_list(store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, "list") == 0
    shown = capsys.readouterr().out
    assert f"toy ({store.id[:8]})" in shown and "1 run, " in shown and str(store.folder.parent) in shown
    assert main(["--base-directory", "x", "list", "--base-directory", str(tmp_path / "other")]) == 0
    assert f"{tmp_path / 'other' / RUNS}\nThere are no runs yet." in capsys.readouterr().out


def test_prune(store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, "prune", "--states", "toy") == 0
    assert store.states.steps() == [12] and "B freed" in capsys.readouterr().out
    assert call(tmp_path, "prune", "--checkpoints", "--all") == 0
    assert [checkpoint.step for checkpoint in store.checkpoints()] == [5, 12]
    assert call(tmp_path, "prune", "--trash", store.id[:8]) == 0
    assert not store.exists and len(list((tmp_path / "base" / "user" / "__danlu" / "trash").iterdir())) == 1


@pytest.mark.parametrize("runs", [(), ("toy", "--all")])
def test_prune_wants_to_know_which(
    store: RunStore, tmp_path: Path, runs: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(tmp_path, "prune", "--trash", *runs) == 1
    assert "Name the runs to prune, or give --all" in capsys.readouterr().err and store.exists


def test_export_and_import(store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, "export", "toy", "--to", tmp_path / "out") == 0
    file = Path(capsys.readouterr().out.strip())
    assert file.parent == tmp_path / "out"
    elsewhere = tmp_path / "elsewhere"
    assert main(["--base-directory", str(elsewhere), "import", str(file)]) == 0
    assert capsys.readouterr().out.strip() == f"toy ({store.id[:8]}): imported"
    watcher = Watcher()
    train(fresh(request(tmp_path, schedule_steps=STEPS), elsewhere / RUNS), watcher)
    assert watcher.steps == []
    assert call(tmp_path, "import", file) == 0 and "is here already" in capsys.readouterr().out


def test_what_goes_wrong_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, "export", "nothing") == 1
    assert capsys.readouterr().err.startswith("dev.py runs: There is no run 'nothing'")
    assert call(tmp_path, "import", tmp_path / "missing.zip") == 1
    assert "missing.zip could not be imported" in capsys.readouterr().err
