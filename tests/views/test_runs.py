"""The list of runs, and what people do with one from there."""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from danlu.errors import DanluError
from danlu.tests.runs.toy_runs import STEPS, Watcher, cut, request, train
from danlu.training.reporter import Command, StepReport
from danlu.training.request import TrainRequest
from danlu.training.runs.session import FAILED, RUNNING, STOPPED, Origin
from danlu.training.runs.store import RunStore
from danlu.views import run_rows
from danlu.views.errors import Busy, NotFound
from danlu.views.run_rows import FINISHED, POINTS
from danlu.views.runs import Runs

GRAPHS = {"workflow": {"nodes": []}, "prompt": {"1": {"class_type": "X", "inputs": {}}}}
ORIGIN = Origin("flux.safetensors", "photos", GRAPHS)


def asked(folder: Path, steps: int = STEPS, seed: int = 0, **settings: Any) -> TrainRequest:
    held: dict[str, Any] = {"schedule_steps": STEPS, "validation": "off", **settings}
    return replace(request(folder, steps, **held), origin=ORIGIN, seed=seed)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs", tmp_path / "out")


def only(runs: Runs) -> dict[str, Any]:
    (row,) = runs.listing()["runs"]
    return row


def test_no_runs_yet(runs: Runs) -> None:
    assert runs.listing() == {"runs": [], "size": 0, "trash": 0} and runs.trashed() == {"runs": []}


def test_a_line(runs: Runs) -> None:
    store = RunStore(train(asked(runs.folder)).handle.folder)
    row = only(runs)
    used = row.pop("used")
    assert abs(used - time.time()) < 600
    curve, size = row.pop("curve"), row.pop("size")
    assert len(curve) == STEPS and curve == pytest.approx(store.losses(STEPS), rel=1e-3)
    assert size == sum(file.stat().st_size for file in store.folder.rglob("*") if file.is_file())
    assert row == {
        "id": store.id, "name": "toy", "state": FINISHED, "why": "", "step": STEPS, "steps": STEPS,
        "base": "flux.safetensors", "dataset": "photos", "pictures": 4, "best": None, "checkpoints": 3,
        "pinned": False, "imported": False, "graph": True, "resumable": True,
    }  # fmt: skip
    assert runs.listing()["size"] == size


def test_stopped_and_gone_on_with(runs: Runs) -> None:
    cut(asked(runs.folder), 5)
    stopped = only(runs)
    assert (stopped["state"], stopped["step"], stopped["steps"]) == (STOPPED, 5, STEPS)
    train(asked(runs.folder))
    assert (only(runs)["state"], only(runs)["step"]) == (FINISHED, STEPS)


def test_finished_before_its_time(runs: Runs) -> None:
    train(asked(runs.folder), Watcher(commands={6: Command.FINISH}))
    row = only(runs)
    assert (row["state"], row["step"], row["steps"]) == (FINISHED, 6, STEPS)


def test_a_part_of_a_loop_is_not_the_end(runs: Runs) -> None:
    train(replace(asked(runs.folder, 4), horizon=STEPS))
    assert (only(runs)["state"], only(runs)["step"], only(runs)["steps"]) == (STOPPED, 4, STEPS)


def test_failed(runs: Runs) -> None:
    class Broken(Watcher):
        def check_interrupt(self) -> None:
            if len(self.steps) == 3:
                raise DanluError("The cable came loose.")

    with pytest.raises(DanluError):
        train(asked(runs.folder), Broken())
    row = only(runs)
    assert (row["state"], row["why"], row["step"]) == (FAILED, "The cable came loose.", 3)


def test_while_it_trains(runs: Runs) -> None:
    seen: list[dict[str, Any]] = []

    class Looking(Watcher):
        def step(self, report: StepReport) -> None:
            seen.append(only(runs))
            with pytest.raises(Busy, match="is being trained"):
                runs.trash(seen[-1]["id"])
            with pytest.raises(Busy, match="is being trained"):
                runs.export(seen[-1]["id"])

    train(asked(runs.folder, 4), Looking())
    assert [(row["state"], row["step"]) for row in seen] == [(RUNNING, step) for step in (1, 2, 3, 4)]


def test_one_that_was_killed(runs: Runs) -> None:
    """It could not note its end: nobody holds its lock."""
    cut(asked(runs.folder), 5)
    session = runs.folder / only(runs)["id"] / "session.json"
    noted = {**json.loads(session.read_text()), "state": RUNNING}
    session.unlink()
    session.write_text(json.dumps(noted))
    assert only(runs)["state"] == STOPPED
    with RunStore(session.parent).locked(Watcher()):
        assert only(runs)["state"] == RUNNING


def test_one_of_before_there_were_sessions(runs: Runs) -> None:
    store = RunStore(train(asked(runs.folder)).handle.folder)
    for name in ("session", "workflow", "prompt"):
        (store.folder / f"{name}.json").unlink()
    row = only(runs)
    assert (row["state"], row["step"], row["steps"], row["pictures"]) == (FINISHED, STEPS, None, 4)
    assert not row["graph"] and runs.graph(store.id)["workflow"] is None


def test_the_best_is_the_advisors(runs: Runs) -> None:
    store = RunStore(train(asked(runs.folder, validation="on")).handle.folder)
    advice = json.loads((store.folder / "advice.json").read_text())
    best = advice["recommended"][0]
    good = advice["verdicts"][str(best)]["state"] == "good"
    assert only(runs)["best"] == (best if good else None)
    advice["verdicts"][str(best)]["state"] = "good"
    (store.folder / "advice.json").unlink()
    (store.folder / "advice.json").write_text(json.dumps(advice))
    assert only(runs)["best"] == best
    (store.folder / "advice.json").unlink()
    (store.folder / "advice.json").write_text("[]")
    assert only(runs)["best"] is None, "what cannot be read is no advice"


def test_what_a_child_shares_is_counted_once(runs: Runs) -> None:
    first = train(asked(runs.folder, 4)).handle
    train(replace(asked(runs.folder, 8, learning_rate=1e-3), run=first))
    listed = runs.listing()
    inodes = {}
    for file in runs.folder.rglob("*"):
        if file.is_file():
            stat = file.stat()
            inodes[stat.st_ino] = stat.st_size
    assert listed["size"] == sum(inodes.values()) < sum(row["size"] for row in listed["runs"])


def test_details(runs: Runs) -> None:
    first = train(asked(runs.folder, 4)).handle
    child = RunStore(train(replace(asked(runs.folder, 8, learning_rate=1e-3), run=first)).handle.folder)
    found = runs.one(child.id)
    assert found["started_from"] == {"run": first.folder.name, "step": 4}
    assert found["settings"]["rank"] == 2 and found["settings"]["learning_rate"] == 1e-3
    assert found["label"] == f"toy ({child.id[:8]})"


def test_pin(runs: Runs) -> None:
    train(asked(runs.folder, 4))
    run = only(runs)["id"]
    assert runs.pin(run, True)["pinned"] and only(runs)["pinned"]
    with pytest.raises(DanluError, match="is pinned"):
        runs.trash(run)
    assert not runs.pin(run, False)["pinned"] and not only(runs)["pinned"]


def test_rename(runs: Runs) -> None:
    train(asked(runs.folder, 4))
    before = only(runs)
    renamed = runs.rename(before["id"], " 小猫 ")
    assert renamed == only(runs) == {**before, "name": "小猫", "size": renamed["size"]}
    for bad in ("", "..", "a/b", "a\\b", "a\nb", "x" * 200):
        with pytest.raises(DanluError):
            runs.rename(before["id"], bad)


def test_the_graph(runs: Runs) -> None:
    train(asked(runs.folder, 4))
    row = only(runs)
    assert runs.graph(row["id"]) == {**GRAPHS, "label": f"toy ({row['id'][:8]})", "imported": False}


def test_into_the_trash_and_back(runs: Runs) -> None:
    train(asked(runs.folder, 4))
    before = only(runs)
    entry = runs.trash(before["id"])["entry"]
    assert runs.listing() == {"runs": [], "size": 0, "trash": 1}
    (gone,) = runs.trashed()["runs"]
    assert abs(gone.pop("gone") - time.time()) < 600
    assert gone == {"id": before["id"], "entry": entry, "name": "toy", "step": 4, "size": before["size"]}
    assert runs.restore(before["id"], entry) == before == only(runs)
    assert runs.trashed() == {"runs": []}


def test_restoring_what_is_there_again(runs: Runs) -> None:
    train(asked(runs.folder, 4))
    run = only(runs)["id"]
    runs.trash(run)
    train(asked(runs.folder, 4))
    with pytest.raises(Busy, match="trained anew since"):
        runs.restore(run)
    second = runs.trash(run)["entry"]
    assert runs.restore(run)["id"] == run
    assert second not in {entry["entry"] for entry in runs.trashed()["runs"]}, "the one last thrown away"


@pytest.mark.parametrize("entry", ["..", "x", "../runs", "{run}", "{run}-20200101-000000/../x"])
def test_restoring_what_is_nowhere(entry: str, runs: Runs) -> None:
    train(asked(runs.folder, 4))
    run = only(runs)["id"]
    runs.trash(run)
    with pytest.raises(NotFound):
        runs.restore(run, entry.replace("{run}", run))
    with pytest.raises(NotFound):
        runs.restore(run[::-1])


def test_odd_things_in_the_folders(runs: Runs) -> None:
    train(asked(runs.folder, 4))
    run = only(runs)["id"]
    shutil.copytree(runs.folder / run, runs.folder / f"{run} copy")
    (runs.folder / ("0" * 24)).mkdir()
    (runs.folder / ("1" * 24)).symlink_to(runs.folder / run, target_is_directory=True)
    (runs.folder / "a file").touch()
    runs.trash(run)
    trash = runs.folder.parent / "trash"
    shutil.copytree(next(trash.iterdir()), trash / "my own copy")
    shutil.copytree(next(trash.glob("*-*")), trash / f"{run}-99999999-999999")
    assert runs.listing() == {"runs": [], "size": 0, "trash": 2}
    assert runs.trashed()["runs"][-1]["gone"] == 0.0


@pytest.mark.parametrize("odd", ["NaN", "1e400", "1" + "0" * 400, "null", "[1]", '"x"'])
def test_odd_numbers_in_the_files_of_a_run(odd: str, runs: Runs) -> None:
    train(asked(runs.folder, 4))
    row = only(runs)
    folder = runs.folder / row["id"]
    (folder / "finished.json").write_text(f'{{"step": {odd}, "asked": 4}}', encoding="utf-8")
    (folder / "name.json").write_text(f'{{"name": "mine", "used": {odd}}}', encoding="utf-8")
    (folder / "session.json").write_text(f'{{"steps": {odd}, "state": "ended"}}', encoding="utf-8")
    (folder / "workflow.json").write_text(f'{{"nodes": [{odd}]}}', encoding="utf-8")
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(f'{{"step": {odd}, "loss": 0.5}}\n{{"step": 9, "loss": {odd}}}\n')
    listed, graph = only(runs), runs.graph(row["id"])
    json.dumps([listed, graph], allow_nan=False)
    assert listed["id"] == row["id"] and listed["curve"] and graph["prompt"] == GRAPHS["prompt"]


def test_export(runs: Runs) -> None:
    train(asked(runs.folder, 4))
    run = only(runs)["id"]
    made = runs.export(run)
    assert made["file"] == f"toy-{run[:8]}.zip" and runs.archive(run, made["file"]).stat().st_size == made["size"]
    assert runs.export(run) == made, "the same run is not written twice"


def test_only_files_of_that_run_are_given(runs: Runs, tmp_path: Path) -> None:
    train(asked(runs.folder, 4))
    run = only(runs)["id"]
    file = runs.export(run)["file"]
    (runs.exports / f"other-{run[:7]}0.zip").touch()
    (runs.exports / f"x-{run[:8]}.txt").touch()
    (runs.exports / f"link-{run[:8]}.zip").symlink_to(runs.exports / file)
    (tmp_path / f"up-{run[:8]}.zip").touch()
    (runs.exports / f"folder-{run[:8]}.zip").mkdir()
    names = ["", file[1:], *os.listdir(runs.exports), f"../up-{run[:8]}.zip", str(tmp_path / f"up-{run[:8]}.zip")]
    for name in names:
        if name != file:
            with pytest.raises(NotFound):
                runs.archive(run, name)
    for odd in ("." * 24, "(" * 24):
        with pytest.raises(NotFound):
            runs.archive(odd, file)


def fake(folder: Path, number: int, lines: int) -> None:
    """A run as large as usual ones, without tensors."""
    run = folder / f"{number:024x}"
    for name in ("checkpoints", "states", "pins"):
        (run / name).mkdir(parents=True)
    for step in range(1, 11):
        (run / "checkpoints" / f"{step * lines // 10:06}.safetensors").write_bytes(b"x" * 100)
    (run / "states" / f"{lines:06}.safetensors").write_bytes(b"x")
    texts = {
        "manifest": "{}", "dataset": "{}", "name": json.dumps({"name": f"run {number}", "used": number}),
        "session": json.dumps({"steps": lines, "state": "ended", "base": "b", "dataset": "d", "pictures": 25}),
        "advice": json.dumps({"recommended": [lines], "verdicts": {str(lines): {"state": "good", "reason": ""}}}),
    }  # fmt: skip
    for name, text in texts.items():
        (run / f"{name}.json").write_text(text)
    line = '{"step": %d, "loss": %f, "learning_rate": 0.0001, "grad_norm": 1.0, "rows": [["0123456789ab", 0.5, 0.1]]}\n'
    (run / "log.jsonl").write_text("".join(line % (step, 1 - step / lines) for step in range(1, lines + 1)))
    for path in (run, *run.iterdir()):  # what was written just now is read again
        os.utime(path, (1e9 + number, 1e9 + number))


def test_hundreds_of_runs(runs: Runs) -> None:
    count, lines = 300, 1500
    for number in range(count):
        fake(runs.folder, number, lines)
    begun = time.process_time()
    first = runs.listing()
    cold = time.process_time() - begun
    begun = time.process_time()
    again = runs.listing()
    warm = time.process_time() - begun
    assert again == first and [row["name"] for row in first["runs"]][:2] == ["run 299", "run 298"]
    assert {(row["state"], row["step"], row["best"], row["pictures"]) for row in first["runs"]} == {
        (FINISHED, lines, lines, 25)
    }
    curve = first["runs"][0]["curve"]
    assert len(curve) == POINTS and curve == sorted(curve, reverse=True) and curve[0] > 0.98 > 0.02 > curve[-1]
    assert warm < 0.3 and cold < 2.0, f"{cold:.2f} s, then {warm:.2f} s of one core for {count} runs"
    assert len(json.dumps(first)) < 300_000


@pytest.mark.parametrize(
    "text", ["", "\n\n", "{", '{"step": 1}\n', '{"loss": 1}\n', '["step"]\n', '{"step": 1, "loss": NaN}\n']
)
def test_a_log_that_says_nothing(text: str, runs: Runs) -> None:
    fake(runs.folder, 1, 10)
    (runs.folder / f"{1:024x}" / "log.jsonl").write_text(text * 2)
    row = only(runs)
    assert row["curve"] == [] and row["step"] == 10, "what its checkpoints say"


def test_long_lines(runs: Runs) -> None:
    """A line names every row of its batch."""
    fake(runs.folder, 1, 200)
    log = runs.folder / f"{1:024x}" / "log.jsonl"
    rows = [["0123456789ab", 0.5, 0.1]] * 64
    log.write_text("".join(json.dumps({"step": s, "loss": 2.0, "rows": rows}) + "\n" for s in range(1, 201)))
    row = only(runs)
    assert row["curve"] == [2.0] * POINTS and row["step"] == 200


def test_a_second_change_within_a_tick_of_the_clock(runs: Runs) -> None:
    fake(runs.folder, 1, 10)
    folder = runs.folder / f"{1:024x}"
    (folder / "name.json").write_text('{"name": "first", "used": 1}')
    os.utime(folder)
    before = folder.stat()
    assert only(runs)["name"] == "first"
    (folder / "name.json").write_text('{"name": "second", "used": 1}')
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert only(runs)["name"] == "second"


def test_a_file_that_is_being_written(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(runs.folder, 1, 10)
    row = only(runs)
    real = os.scandir

    def renamed_meanwhile(path: Any) -> Any:
        with real(path) as found:
            entries = list(found)
        for entry in entries:
            if entry.name.endswith(".tmp"):
                os.unlink(entry.path)
        return nullcontext(entries)

    (runs.folder / row["id"] / "checkpoints" / "000010.safetensors.1.tmp").touch()
    monkeypatch.setattr(run_rows.os, "scandir", renamed_meanwhile)
    assert only(runs) == row


@pytest.mark.parametrize("line", ["[" * 9000, '{"step": 1, "loss": 1e308}\n{"step": 2, "loss": 1e308}'])
def test_lines_from_elsewhere_that_are_too_much(line: str, runs: Runs) -> None:
    fake(runs.folder, 1, 10)
    log = runs.folder / f"{1:024x}" / "log.jsonl"
    log.write_text(f'{line}\n{{"step": 3, "loss": 0.5}}\n')
    assert only(runs)["curve"] == [0.5] and RunStore(log.parent).log.steps(3)[-1]["step"] == 3
