"""Runs as files: a run from a lost machine goes on elsewhere, and a file that is not one is refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from danlu.errors import DanluError
from danlu.training.disk import DiskError
from danlu.training.runs import transfer
from danlu.training.runs.store import RunStore
from danlu.training.runs.transfer import export_run, import_run

from .toy_runs import STEPS, Watcher, cut, fresh, request, same, train

Parts = dict[str, bytes]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was cancelled at step 6."""
    folder = tmp_path_factory.mktemp("made")
    asked = request(folder / "runs")
    cut(asked, 6)
    return export_run(only(folder / "runs"), folder)


def only(runs: Path) -> RunStore:
    (folder,) = runs.iterdir()
    return RunStore(folder)


def parts_of(archive: Path) -> Parts:
    with zipfile.ZipFile(archive) as file:
        return {name: file.read(name) for name in file.namelist()}


def packed(parts: Parts, path: Path, **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, content in parts.items():
            file.writestr(zipfile.ZipInfo(name), content)
    return path


def with_index(parts: Parts, change: Callable[[dict[str, Any]], None]) -> Parts:
    index = json.loads(parts["index.json"])
    change(index)
    return {**parts, "index.json": json.dumps(index).encode()}


def signed(parts: Parts) -> Parts:
    """With an index that fits: what somebody can make who means harm."""
    import hashlib

    def fit(index: dict[str, Any]) -> None:
        index["files"] = {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in parts.items()
            if name != "index.json"
        }

    return with_index(parts, fit)


def test_it_goes_on_elsewhere(archive: Path, tmp_path: Path) -> None:
    found = import_run(archive, tmp_path / "runs")
    assert found.new and found.store.name()[0] == "toy"
    watcher = Watcher()
    ended = train(fresh(request(tmp_path), tmp_path / "runs"), watcher)
    assert watcher.steps == list(range(7, STEPS + 1)) and ended.handle.folder == found.store.folder
    whole = train(request(tmp_path / "whole"))
    assert same(ended.lora, whole.lora) and ended.losses == whole.losses
    assert {path.name for path in tmp_path.iterdir() if path.name != "whole"} == {"runs", "importing"}
    assert not list((tmp_path / "importing").iterdir())


def test_every_file_of_the_run_is_in_it(tmp_path: Path) -> None:
    held: dict[str, Any] = {"schedule_steps": STEPS}
    first = train(request(tmp_path / "runs", steps=5, **held))
    from danlu.training.reporter import Command

    train(request(tmp_path / "runs", **held), Watcher(commands={7: Command.FINISH}))
    store = RunStore(first.handle.folder)
    store.pin(4, "the user")
    here = {path.relative_to(store.folder).as_posix() for path in store.folder.rglob("*") if path.is_file()}
    inside = parts_of(export_run(store, tmp_path)).keys() - {"index.json"}
    # What is shown in TensorBoard is in the log too, and its files name the machine.
    left_out = {name for name in here - inside if not name.startswith("tensorboard/")}
    assert left_out <= {"lock", "name.json"} and inside <= here
    assert {"finished.json", "pins/000004", "pins/000005", "pins/000007", "states/000007.safetensors"} <= inside


def test_the_same_run_gives_the_same_file_once(tmp_path: Path) -> None:
    train(request(tmp_path / "runs", steps=4))
    store = only(tmp_path / "runs")
    first = export_run(store, tmp_path)
    store.use_as("toy")
    assert export_run(store, tmp_path) == first
    store.pin(2, "the user")
    other = export_run(store, tmp_path)
    assert other != first and other.name == f"{first.stem}-2.zip"
    assert first.name == f"toy-{store.id[:8]}.zip"


def test_a_name_that_is_no_file_name(tmp_path: Path) -> None:
    train(request(tmp_path / "runs", steps=1))
    store = only(tmp_path / "runs")
    store.use_as("../up/and:away")
    file = export_run(store, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == [file] and file.name.startswith("run-")


def test_one_that_is_there_already_stays_as_it_is(archive: Path, tmp_path: Path) -> None:
    import_run(archive, tmp_path / "runs")
    assert not import_run(archive, tmp_path / "runs").new
    ended = train(fresh(request(tmp_path), tmp_path / "runs"))
    with pytest.raises(DanluError, match=r"toy \([0-9a-f]{8}\) is here already, at step 12, and its .* is another"):
        import_run(archive, tmp_path / "runs")
    assert same(train(fresh(request(tmp_path), tmp_path / "runs")).lora, ended.lora)


def test_what_a_start_without_a_run_left_is_no_obstacle(archive: Path, tmp_path: Path) -> None:
    id = json.loads(parts_of(archive)["index.json"])["id"]
    (tmp_path / "runs" / id).mkdir(parents=True)
    (tmp_path / "runs" / id / "lock").touch()
    assert import_run(archive, tmp_path / "runs").store.exists


def test_one_that_is_being_trained_is_left_alone(archive: Path, tmp_path: Path) -> None:
    store = import_run(archive, tmp_path / "runs").store
    with store.locked(Watcher()), pytest.raises(DanluError, match="is being trained: export it when"):
        export_run(store, tmp_path)
    assert not list(tmp_path.glob("*.zip")) and not list(tmp_path.glob("*.tmp"))


REFUSED: dict[str, tuple[Callable[[Parts], Parts], str]] = {
    "no index": (lambda p: {k: v for k, v in p.items() if k != "index.json"}, "no index"),
    "an index that is none": (lambda p: {**p, "index.json": b"[1]"}, "index cannot be read"),
    "a file more": (lambda p: {**p, "pins/000099": b"x"}, "differ"),
    "a file less": (lambda p: {k: v for k, v in p.items() if k != "names.json"}, "differ"),
    "a strange file": (lambda p: signed({**p, "run.py": b"x"}), "'run.py' is no file of a run"),
    "a path out": (lambda p: signed({**p, "../manifest.json": b"x"}), "is no file of a run"),
    "an absolute path": (lambda p: signed({**p, "/tmp/manifest.json": b"x"}), "is no file of a run"),
    "a path through": (lambda p: signed({**p, "states/../../0.safetensors": b"x"}), "is no file of a run"),
    "another content": (lambda p: {**p, "dataset.json": b" " * len(p["dataset.json"])}, "content of dataset.json"),
    "another size": (lambda p: {**p, "dataset.json": b" "}, "dataset.json has another size"),
    "a size that lies": (
        lambda p: with_index(p, lambda i: i["files"]["dataset.json"].update(size=1 << 50)),
        "dataset.json has another size",
    ),
    "an id that lies": (lambda p: with_index(p, lambda i: i.update(id="0" * 24)), "not that of its settings"),
    "an id that is a path": (lambda p: with_index(p, lambda i: i.update(id="../../x")), "is no run's id"),
    "another seed": (
        lambda p: signed({**p, "manifest.json": p["manifest.json"].replace(b'"seed": 0', b'"seed": 1')}),
        "not that of its settings",
    ),
    "a state that is none": (lambda p: signed({**p, "states/000006.safetensors": b"12345678"}), "states/000006"),
    "a checkpoint cut short": (
        lambda p: signed({**p, "checkpoints/000004.safetensors": p["checkpoints/000004.safetensors"][:-9]}),
        "checkpoints/000004",
    ),
    "a manifest that is none": (lambda p: signed({**p, "manifest.json": b"[]"}), "manifest cannot be read"),
    "a manifest without a bottom": (lambda p: signed({**p, "manifest.json": b"[" * 99999}), "manifest.json: maximum"),
    "an index without a bottom": (lambda p: {**p, "index.json": b"[" * 99999}, "index cannot be read"),
    "a newer format": (lambda p: with_index(p, lambda i: i.update(format=2)), "newer Danlu"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, archive: Path, tmp_path: Path) -> None:
    change, message = REFUSED[case]
    file = packed(change(parts_of(archive)), tmp_path / "changed.zip")
    with pytest.raises(DanluError, match=message):
        import_run(file, tmp_path / "user" / "runs")
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert left == [file], "nothing is written that stays"


def test_packed_files_are_refused(archive: Path, tmp_path: Path) -> None:
    parts = parts_of(archive)
    parts["log.jsonl"] = b"\0" * (10 << 20)
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file, "w") as bomb:
        for name, content in signed(parts).items():
            bomb.writestr(name, content, zipfile.ZIP_DEFLATED)
    with pytest.raises(DanluError, match="packed or encrypted"):
        import_run(file, tmp_path / "runs")


def test_files_that_lie_over_each_other_are_refused(archive: Path, tmp_path: Path) -> None:
    """One content under many names makes a small archive that unpacks to a large run."""
    content = b"\0" * (1 << 20)
    parts = parts_of(archive)
    many = {f"pins/{step:06}": content for step in range(5)}
    file = packed(signed({**parts, **many}), tmp_path / "whole.zip")
    raw = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as opened:
        first, *others = [opened.getinfo(name).header_offset for name in many]
    # Every entry of the central directory points at the first one's content, and the other contents are cut out.
    for offset in others:
        at = raw.rindex(offset.to_bytes(4, "little"))
        raw[at : at + 4] = first.to_bytes(4, "little")
    start = others[0]
    end = raw.index(b"PK\x01\x02", start)
    kept = raw[end:]
    cut_out = end - start
    at = kept.rindex(b"PK\x05\x06") + 16
    kept[at : at + 4] = (int.from_bytes(kept[at : at + 4], "little") - cut_out).to_bytes(4, "little")
    file.write_bytes(raw[:start] + kept)
    with pytest.raises(DanluError, match=r"larger than it is|no run that Danlu exported"):
        import_run(file, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_archive(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "file.zip"
    file.write_bytes(content)
    with pytest.raises(DanluError, match="no run that Danlu exported"):
        import_run(file, tmp_path / "runs")


def test_an_archive_that_was_cut_short(archive: Path, tmp_path: Path) -> None:
    file = tmp_path / "half.zip"
    file.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(DanluError, match="no run that Danlu exported"):
        import_run(file, tmp_path / "runs")


def test_a_disk_that_is_too_small(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "free_disk", lambda _folder: 1000)
    with pytest.raises(DiskError, match="and 1.0 KB are free"):
        import_run(archive, tmp_path / "runs")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to(archive: Path, tmp_path: Path) -> None:
    store = import_run(archive, tmp_path / "runs").store
    (tmp_path / "a file").touch()
    with pytest.raises(DiskError, match="could not be exported"):
        export_run(store, tmp_path / "a file")
    with pytest.raises(DiskError, match="could not be imported"):
        import_run(archive, tmp_path / "a file" / "runs")


def test_a_child_brings_what_it_grew_out_of(tmp_path: Path) -> None:
    from dataclasses import replace

    first = train(request(tmp_path / "runs", steps=5))
    asked = replace(request(tmp_path / "runs", steps=9, learning_rate=5e-3), run=first.handle)
    cut(asked, 7)
    child = next(store for store in map(RunStore, (tmp_path / "runs").iterdir()) if "parent" in store.manifest())
    parent = RunStore(first.handle.folder)
    for store in (child, parent):
        import_run(export_run(store, tmp_path), tmp_path / "elsewhere")
    there = replace(asked, runs_folder=tmp_path / "elsewhere", run=replace(
        first.handle, folder=tmp_path / "elsewhere" / parent.id
    ))  # fmt: skip
    watcher = Watcher()
    ended = train(there, watcher)
    assert watcher.steps == [8, 9] and same(ended.lora, train(asked).lora)
