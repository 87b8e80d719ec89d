"""What the Runs tab asks for over HTTP: of real trainings, and from whoever means no good."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from danlu.demo.server import Message, Run, node
from danlu.tests.http.asking import answer, asked, error
from danlu.tests.http.graphs import told_step, training
from danlu.tests.http.loop_graphs import add_decoder, train_loop
from danlu.tests.server import Server

NAME, STEPS = "listed", 40
WORKFLOW = {"id": "3b0f0c7e-2a52-4d5e-9f0e-000000000002", "nodes": [{"id": 9}, {"id": 1}]}
NOWHERE = "f" * 24
POSTS = ("pin", "rename", "trash", "restore", "export")


def graph() -> dict[str, Any]:
    found = training("flux", rank=2, steps=STEPS, save_every=20, seed=610, name=NAME)
    found["train"]["inputs"]["training_config"] = ["settings", 0]
    return {**found, "settings": node("DanluTrainingConfig", schedule_steps=5000, validation="off")}


def queued(server: Server, prompt: dict[str, Any]) -> Run:
    run = server.run(prompt, extra_data={"extra_pnginfo": {"workflow": WORKFLOW}})
    assert run.ok, run.explain()
    return run


def rows(server: Server) -> dict[str, dict[str, Any]]:
    """By name."""
    return {row["name"]: row for row in answer(server, "runs")["runs"]}


@pytest.fixture(scope="module")
def listed(studio: Server) -> str:
    """The id of a run that has been trained to its end."""
    queued(studio, graph())
    return rows(studio)[NAME]["id"]


def test_the_line_of_a_run(listed: str, studio: Server) -> None:
    row = rows(studio)[NAME]
    assert (row["state"], row["step"], row["steps"], row["pictures"]) == ("finished", STEPS, STEPS, 4)
    assert (row["base"], row["dataset"]) == ("flux.safetensors", "pics") and len(row["curve"]) > 10
    assert answer(studio, f"runs/{listed}")["settings"]["rank"] == 2


def test_the_graph_comes_back_as_it_was_queued(listed: str, studio: Server) -> None:
    found = answer(studio, f"runs/{listed}/workflow")
    assert found["workflow"] == WORKFLOW and not found["imported"]
    assert found["prompt"]["train"]["inputs"]["name"] == NAME
    again = studio.run(found["prompt"])
    assert again.ok and rows(studio)[NAME]["step"] == STEPS, "the same run, from disk"


def test_a_loop_keeps_its_graph_too(studio: Server) -> None:
    add_decoder(studio)
    queued(studio, train_loop(rank=2, steps=4, save_every=2, seed=611, name="looped"))
    row = rows(studio)["looped"]
    assert (row["state"], row["step"], row["steps"]) == ("finished", 4, 4)
    found = answer(studio, f"runs/{row['id']}/workflow")
    assert found["workflow"] == WORKFLOW and "grid" in found["prompt"]


def until_step(studio: Server, step: int, since: int) -> None:
    def there(message: Message) -> bool:
        return told_step(message) >= step

    studio.wait_for(there, 120, since)


def test_a_run_that_is_being_trained_is_left_alone(listed: str, studio: Server) -> None:
    since = len(studio.messages)
    long = {"steps": 5000, "save_every": 5000, "seed": 612, "name": "busy"}
    whole = graph()
    whole["train"]["inputs"] |= long
    prompt = studio.queue(whole)
    until_step(studio, 5, since)
    row = rows(studio)["busy"]
    assert row["state"] == "running" and row["step"] < row["steps"] == 5000
    for what in ("trash", "export"):
        status, why = error(studio, f"runs/{row['id']}/{what}", {})
        assert status == 409 and "is being trained" in why
    studio.interrupt()
    studio.wait(prompt, since=since)
    row = rows(studio)["busy"]
    assert row["state"] == "stopped" and 5 <= row["step"] < 5000
    answer(studio, f"runs/{row['id']}/trash", {})
    assert "busy" not in rows(studio)


def test_pin_trash_and_restore(listed: str, studio: Server) -> None:
    before = rows(studio)[NAME]
    assert answer(studio, f"runs/{listed}/pin", {"pinned": True})["pinned"]
    status, why = error(studio, f"runs/{listed}/trash", {})
    assert status == 400 and "is pinned" in why
    answer(studio, f"runs/{listed}/pin", {"pinned": False})
    entry = answer(studio, f"runs/{listed}/trash", {})["entry"]
    assert NAME not in rows(studio) and error(studio, f"runs/{listed}")[0] == 404
    assert entry in {each["entry"] for each in answer(studio, "trash")["runs"]}
    answer(studio, f"runs/{listed}/restore", {"entry": entry})
    assert rows(studio)[NAME] == before


def test_export_and_download(listed: str, studio: Server) -> None:
    made = answer(studio, f"runs/{listed}/export", {})
    status, body, headers = asked(studio, f"runs/{listed}/archive?file={quote(made['file'])}")
    assert status == 200 and len(body) == made["size"] and headers["Content-Disposition"] == "attachment"
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert {"manifest.json", "session.json", "workflow.json", "prompt.json"} <= set(archive.namelist())
    for name in ("", "..", f"..%2F{made['file']}", "%2Fetc%2Fpasswd", "x" * 600, made["file"] + "%00"):
        assert asked(studio, f"runs/{listed}/archive?file={name}")[0] in (404, 414)
    assert asked(studio, f"runs/{NOWHERE}/archive?file={quote(made['file'])}")[0] == 404


@pytest.fixture
def outside(studio: Server) -> Iterator[Path]:
    """A folder that looks like a run, beside the folder of runs, and a link to it among them."""
    ours = studio.base / "user" / "__danlu"
    folder, link = ours / "outside", ours / "runs" / ("e" * 24)
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    link.symlink_to(folder, target_is_directory=True)
    yield folder
    link.unlink()
    shutil.rmtree(folder)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    "run", ["..", "%2e%2e", "..%2foutside", "%2e%2e%2Foutside", "{absolute}", "e" * 24, NOWHERE, "x", "E" * 24, "%00"]
)
def test_ids_lead_nowhere_else(run: str, listed: str, outside: Path, studio: Server) -> None:
    run = run.replace("{absolute}", quote(str(outside), safe=""))
    before = snapshot(outside)
    for path in ("", "/workflow", "/archive?file=x.zip"):
        assert asked(studio, f"runs/{run}{path}")[0] in (400, 404, 405), path
    for path in POSTS:
        body = {"pinned": True, "name": "x", "entry": "../outside"}
        assert asked(studio, f"runs/{run}/{path}", body)[0] in (400, 404, 405), path
    assert snapshot(outside) == before and not list((outside.parent / "trash").glob("outside*"))


def test_entries_of_the_trash_lead_nowhere_else(listed: str, outside: Path, studio: Server) -> None:
    entries: list[Any] = ["..", "../outside", str(outside), f"{listed}-", 7, None, ["x"], {}]
    for entry in entries:
        status, _ = error(studio, f"runs/{listed}/restore", {"entry": entry})
        assert status in (400, 404), entry
    assert (outside / "manifest.json").exists()


@pytest.mark.parametrize("what", POSTS)
def test_posts_from_elsewhere(what: str, listed: str, studio: Server) -> None:
    path, body = f"runs/{listed}/{what}", {"pinned": True, "name": "taken over"}
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert asked(studio, path, body, headers)[0] == 403
    plain = json.dumps(body).encode()
    assert asked(studio, path, plain, {"Content-Type": "text/plain"})[0] == 415
    assert asked(studio, path, b"{", {"Content-Type": "application/json"})[0] == 400
    assert asked(studio, path, b"x" * 5_000_000)[0] == 413
    row = rows(studio)[NAME]
    assert not row["pinned"] and row["id"] == listed, "nothing of it was done"


@pytest.mark.parametrize("pinned", [None, "yes", 1, [], {}])
def test_pinned_is_yes_or_no(pinned: Any, listed: str, studio: Server) -> None:
    assert error(studio, f"runs/{listed}/pin", {"pinned": pinned})[0] == 400


def test_names_are_plain(listed: str, studio: Server) -> None:
    for name in ("../x", "a/b", "", 7, None):
        assert error(studio, f"runs/{listed}/rename", {"name": name})[0] == 400
    assert answer(studio, f"runs/{listed}/rename", {"name": "<img src=x>".replace("<", "(").replace(">", ")")})
    assert answer(studio, f"runs/{listed}/rename", {"name": NAME})["name"] == NAME
