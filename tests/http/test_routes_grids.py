"""What grids answer over HTTP: to their pages, and to whoever means no good."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image
from safetensors import safe_open

from danlu.demo.server import Run, node
from danlu.tests.http.asking import answer, asked, error
from danlu.tests.http.graphs import run_folder, training
from danlu.tests.http.loop_graphs import add_decoder, add_loras, body, from_folder, images, opened, plain, shown, sweep
from danlu.tests.server import Server

WORKFLOW = "3b0f0c7e-2a52-4d5e-9f0e-000000000001"


def queued(server: Server, graph: dict[str, Any], workflow: str = WORKFLOW) -> Run:
    extra = {"extra_pnginfo": {"workflow": {"id": workflow, "nodes": []}}}
    return server.run(graph, extra_data=extra)


def events(run: Run) -> list[dict[str, Any]]:
    return [message.data for message in run.messages if message.type == "danlu.cell"]


@pytest.fixture(scope="module")
def swept(studio: Server) -> tuple[Run, str]:
    """(a sweep over two checkpoints of a run, its grid)"""
    add_decoder(studio)
    graph = training("flux", seed=91, steps=2, save_every=1, name="viewed")
    settings = {"prompts": "a <b>zorp</b>...", "strengths": "1, 0.5", "strengths_for": "all", "with_base": True}
    graph["sweep"] = node("DanluSweep", checkpoints=["train", 2], seeds="61", **settings)
    graph |= body(["sweep", 1], ["sweep", 2], ["sweep", 3], ["sweep", 4])
    graph["grid"] = node("DanluGrid", image=["decode", 0], loop=["sweep", 0])
    run = queued(studio, graph)
    assert run.ok, run.explain()
    return run, events(run)[0]["grid"]


def cell_of(state: dict[str, Any], **at: Any) -> dict[str, Any]:
    (found,) = (cell for cell in state["cells"] if all(cell["at"][name] == value for name, value in at.items()))
    return found


def test_events_tell_of_each_cell_and_are_small(swept: tuple[Run, str]) -> None:
    run, grid = swept
    story = [(event["what"], event.get("n")) for event in events(run)]
    cells = [(what, n) for n in range(5) for what in ("now", "done")]
    assert story == [("begun", None), *cells, ("ended", None)]
    assert all(event["grid"] == grid and event["workflow"] == WORKFLOW for event in events(run))
    assert all(event["node"] == "grid" and len(json.dumps(event)) < 1500 for event in events(run))
    done = next(event for event in events(run) if event["what"] == "done")["cell"]
    assert done["state"] == "done" and done["at"]["checkpoint"] == "no LoRA" and done["at"]["strength"] is None


def test_a_page_gets_the_whole_grid(studio: Server, swept: tuple[Run, str]) -> None:
    run, grid = swept
    (head,) = answer(studio, f"grids?workflow={WORKFLOW}&node=grid")["grids"]
    assert head["id"] == grid and head["name"] == "viewed" and head["count"] == 5
    assert answer(studio, f"grids?workflow={WORKFLOW}&node=other")["grids"] == []
    state = answer(studio, f"grids/{grid}")
    assert [cell["state"] for cell in state["cells"]] == ["done"] * 5 and not state["running"]
    axes = {axis["name"]: axis["values"] for axis in state["axes"]}
    assert axes["checkpoint"] == ["no LoRA", "step 1", "step 2"] and axes["strength"] == [0.5, 1.0]
    shown_files = [images(message)[0]["filename"] for message in shown(run)[:-1]]
    assert [cell["pictures"][0]["filename"] for cell in state["cells"]] == shown_files
    assert studio.request("GET", "/view?" + _query(state["cells"][0]["pictures"][0])).startswith(b"\x89PNG")


def _query(picture: dict[str, Any]) -> str:
    return "&".join(f"{key}={quote(picture[key])}" for key in ("filename", "subfolder", "type"))


def test_small_pictures(studio: Server, swept: tuple[Run, str]) -> None:
    grid = swept[1]
    status, found, headers = asked(studio, f"grids/{grid}/cell/1?side=32")
    assert status == 200 and headers["Content-Type"] == "image/jpeg" and "max-age" in headers["Cache-Control"]
    with Image.open(io.BytesIO(found)) as picture:
        assert picture.size == (64, 64)


def test_a_finished_grid_is_there_after_a_restart(studio: Server, swept: tuple[Run, str], comfyui: Path) -> None:
    grid = swept[1]
    before = answer(studio, f"grids/{grid}")
    fresh = Server(comfyui, studio.base)
    try:
        fresh.start()
        assert answer(fresh, f"grids/{grid}") == before
    finally:
        fresh.stop()


def test_a_cell_is_kept(studio: Server, swept: tuple[Run, str]) -> None:
    grid = swept[1]
    state = answer(studio, f"grids/{grid}")
    cell = cell_of(state, checkpoint="step 1", strength=0.5)
    place = f"grids/{grid}/cell/{cell['n']}"
    assert answer(studio, f"{place}/name") == {"name": "viewed_step_1"}
    kept = answer(studio, f"{place}/keep", {"name": "the one"})
    assert kept["name"] == "danlu/the one.safetensors" and kept["strength"] == 0.5 and not kept["already"]
    assert Path(kept["path"]) == studio.base / "models" / "loras" / "danlu" / "the one.safetensors"
    loader = studio.object_info("LoraLoaderModelOnly")["input"]["required"]["lora_name"][0]
    assert kept["name"] in loader
    with safe_open(kept["path"], framework="pt") as file:
        metadata = file.metadata()
    assert metadata["modelspec.usage_hint"].endswith("Strength 0.5.") and metadata["ss_steps"] == "1"
    assert json.loads(metadata["workflow"])["id"] == WORKFLOW and "ssmd_cover_images" in metadata
    assert (run_folder(studio, "viewed") / "pins" / "000001").read_text() == "kept from a grid"
    again = answer(studio, f"{place}/keep", {"name": "the one"})
    assert again["path"] == kept["path"], "the same LoRA is not written a second time"
    other = answer(studio, f"grids/{grid}/cell/{cell_of(state, checkpoint='step 2', strength=1.0)['n']}/keep", {})
    assert other["name"] == "danlu/viewed_step_2.safetensors"
    marked = cell_of(answer(studio, f"grids/{grid}"), checkpoint="step 1", strength=0.5)
    assert marked["kept"] == "danlu/the one.safetensors"


def test_the_kept_file_makes_the_same_picture(studio: Server, swept: tuple[Run, str]) -> None:
    """By the host's own loader, at the strength of its cell."""
    grid = swept[1]
    cell = cell_of(answer(studio, f"grids/{grid}"), checkpoint="step 2", strength=1.0)
    kept = answer(studio, f"grids/{grid}/cell/{cell['n']}/keep", {"name": "same"})
    run = studio.run(plain(kept["name"], 1.0, cell["at"]["prompt"], 61))
    assert run.ok, run.explain()
    picture, wanted = (opened(studio, e) for e in (run.outputs["save"]["images"][0], cell["pictures"][0]))
    assert abs(picture.astype(int) - wanted.astype(int)).max() <= 3, "its numbers are rounded to the file's dtype"


def test_what_cannot_be_kept(studio: Server, swept: tuple[Run, str]) -> None:
    grid = swept[1]
    base = cell_of(answer(studio, f"grids/{grid}"), checkpoint="no LoRA")
    place = f"grids/{grid}/cell/{base['n']}"
    status, text = error(studio, f"{place}/keep", {})
    assert status == 400 and text == "The cell no LoRA, a <b>zorp</b>... shows no LoRA, so there is nothing to keep."
    assert answer(studio, f"{place}/name") == {"name": ""}
    before = {*(studio.base / "models" / "loras").rglob("*")}
    for name in ("../x", "/etc/x", "a/b", "..", "CON", "x\0y", "x" * 300, 5, ["x"]):
        status, text = error(studio, f"grids/{grid}/cell/1/keep", {"name": name})
        assert status == 400 and "name" in text, name
    assert {*(studio.base / "models" / "loras").rglob("*")} == before


def test_a_file_is_there_already(studio: Server) -> None:
    add_decoder(studio)
    (lora,) = add_loras(studio, "seen", 1)
    run = queued(studio, sweep(from_folder("seen"), prompts="a cat", seeds="62", strengths="1", with_base=False))
    grid = events(run)[0]["grid"]
    before = {*(studio.base / "models" / "loras").rglob("*")}
    kept = answer(studio, f"grids/{grid}/cell/0/keep", {})
    assert kept["already"] and kept["name"] == lora
    assert {*(studio.base / "models" / "loras").rglob("*")} == before
    (studio.base / "models" / "loras" / lora).unlink()
    assert error(studio, f"grids/{grid}/cell/0/keep", {})[0] == 400


def test_a_cell_that_fails_says_why(studio: Server) -> None:
    add_loras(studio, "fails", 1)
    graph = sweep(from_folder("fails"), prompts="a cat", seeds="63", strengths="1", with_base=True)
    # Of another family, which shows only when a picture is decoded.
    graph["decoder"]["inputs"]["vae_name"] = "tiny/4.safetensors"
    run = queued(studio, graph)
    assert run.error
    state = answer(studio, f"grids/{events(run)[0]['grid']}")
    assert [cell["state"] for cell in state["cells"]] == ["failed", "missing"]
    assert "to have 4 channels" in state["cells"][0]["why"]


def test_pins(studio: Server, swept: tuple[Run, str]) -> None:
    place = f"grids/{swept[1]}/cell/2/pin"
    assert answer(studio, place, {"pinned": True}) == {"pinned": [2]}
    assert answer(studio, place, {"pinned": False}) == {"pinned": []}
    assert error(studio, place, {"pinned": "yes"})[0] == 400


@pytest.mark.parametrize(
    "path",
    [
        "grids/..",
        "grids/%2e%2e",
        "grids/..%2fruns%2fx",
        "grids/../../etc/passwd",
        "grids/%2fetc%2fpasswd",
        "grids/000000000000000000000000",
        "grids/AAAAAAAAAAAAAAAAAAAAAAAA",
        "grids/{grid}%00",
        "grids/{grid}.marks",
        "grids/{grid}/cell/5",
        "grids/{grid}/cell/-1",
        "grids/{grid}/cell/1e0",
        "grids/{grid}/cell/%c2%b2",
        "grids/{grid}/cell/99999999999999999999",
        "grids/{grid}/cell/..%2f..%2fx",
        "grids/{grid}/cell/0?picture=7",
        "grids/{grid}/cell/7/name",
    ],
)
def test_other_ids_find_nothing(studio: Server, swept: tuple[Run, str], path: str) -> None:
    status, found, _ = asked(studio, path.replace("{grid}", swept[1]))
    assert status == 404, found
    assert str(studio.base).encode() not in found


def test_sizes_are_bounded(studio: Server, swept: tuple[Run, str]) -> None:
    place = f"grids/{swept[1]}/cell/0"
    status, found, _ = asked(studio, f"{place}?side=999999999")
    assert status == 200 and len(found) < 100_000
    assert error(studio, f"{place}?side=x")[0] == 400
    assert error(studio, f"{place}?side={'9' * 600}")[0] == 414


def test_a_link_in_the_pictures_folder_leads_nowhere(studio: Server, swept: tuple[Run, str], tmp_path: Path) -> None:
    state = answer(studio, f"grids/{swept[1]}")
    picture = state["cells"][3]["pictures"][0]
    file = studio.base / "output" / picture["subfolder"] / picture["filename"]
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), "red").save(secret)
    kept = file.rename(file.with_suffix(".kept"))
    try:
        file.symlink_to(secret)
        assert asked(studio, f"grids/{swept[1]}/cell/3")[0] == 404
        assert answer(studio, f"grids/{swept[1]}")["cells"][3]["state"] == "missing"
    finally:
        file.unlink()
        kept.rename(file)


@pytest.mark.parametrize("what", ["keep", "pin"])
def test_other_pages_change_nothing(studio: Server, swept: tuple[Run, str], what: str) -> None:
    place, before = f"grids/{swept[1]}/cell/1/{what}", {*(studio.base / "models" / "loras").rglob("*")}
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert asked(studio, place, {"name": "evil"}, headers)[0] == 403, headers
    assert asked(studio, place, b"name=evil", {"Content-Type": "application/x-www-form-urlencoded"})[0] == 415
    assert asked(studio, place, b'{"name": "evil"', None)[0] == 400
    assert asked(studio, place, b"[1]", None)[0] == 400
    assert asked(studio, place, b" " * 5_000_000, None)[0] == 413
    assert asked(studio, place)[0] in (404, 405)
    assert {*(studio.base / "models" / "loras").rglob("*")} == before
