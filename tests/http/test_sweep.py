"""Checkpoints side by side on the real server."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from danlu.demo.server import Run, node
from danlu.tests.http.graphs import run_folder, training
from danlu.tests.http.loop_graphs import (
    add_decoder,
    add_loras,
    body,
    cells,
    from_folder,
    images,
    opened,
    pixels,
    plain,
    shown,
    story,
    sweep,
)
from danlu.tests.server import Server

PROMPTS = ("a cat", "a dog")


@pytest.fixture(scope="module", autouse=True)
def loras(studio: Server) -> list[str]:
    add_decoder(studio)
    return add_loras(studio, "sweep", 3)


def done(run: Run) -> Run:
    assert run.ok, run.explain()
    return run


def two_by_two(**inputs: Any) -> dict[str, Any]:
    settings = {"prompts": "\n".join(PROMPTS), "seeds": "5", "strengths": "1.0, 0.5", "with_base": True, **inputs}
    return sweep(from_folder("sweep", "other-00000[12]*"), **settings)


def test_pixels_are_those_of_the_hosts_own_loader(studio: Server, loras: list[str]) -> None:
    run = done(studio.run(two_by_two(seeds="11")))
    messages = shown(run)
    assert len(messages) == 10 + 1  # (none, 2 LoRAs x 2 strengths) x 2 prompts, and the grid
    wanted = []
    for lora, strength in [(loras[0], 0.0), *((lora, s) for s in (1.0, 0.5) for lora in loras[:2])]:
        for prompt in PROMPTS:
            alone = done(studio.run(plain(lora, strength, prompt, 11)))
            wanted.append(opened(studio, alone.outputs["save"]["images"][0]))
    found = [pixels(studio, message) for message in messages[:-1]]
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert len({picture.tobytes() for picture in found}) == 10


def test_a_picture_is_shown_before_the_next_is_begun(studio: Server) -> None:
    run = done(studio.run(two_by_two(seeds="12")))
    assert story(run) == ["test", "show"] * 10 + ["show"]


def test_equal_loras_and_equal_prompts_are_made_once(studio: Server) -> None:
    run = done(studio.run(two_by_two(seeds="13, 14")))
    copies = [m.data for m in run.messages if m.type == "executing" and m.data.get("display_node") != m.data["node"]]
    made = [data["display_node"] for data in copies]
    assert made.count("sample") == 20
    assert made.count("apply") == 5 and made.count("text") == 2
    assert "unet" not in made and run.executed().count("unet") <= 1


def test_a_stopped_sweep_goes_on_at_the_first_missing_cell(studio: Server) -> None:
    graph = two_by_two(seeds="15", sampler={"steps": 20})
    since = len(studio.messages)
    prompt = studio.queue(graph)
    studio.wait_for(lambda m: m.type == "executed" and "at_1" in str(images(m)), 120, since)
    studio.interrupt()
    first = studio.wait(prompt, since=since)
    assert first.interrupted
    there = story(first).count("show")
    assert 3 <= there < 10
    again = done(studio.run(graph))
    assert story(again) == ["show"] * there + ["test", "show"] * (10 - there) + ["show"]


def test_a_changed_prompt_makes_only_its_own_cells(studio: Server) -> None:
    done(studio.run(two_by_two(seeds="16")))
    studio.free()
    run = done(studio.run(two_by_two(seeds="16", prompts="a cat\na bird")))
    assert story(run).count("test") == 5
    files = set(cells(studio))
    (studio.base / "output" / images(shown(run)[0])[0]["subfolder"] / images(shown(run)[0])[0]["filename"]).unlink()
    again = done(studio.run(two_by_two(seeds="16", prompts="a cat\na bird")))
    assert story(again).count("test") == 1  # the picture that the user threw away
    assert set(cells(studio)) == files


def test_another_file_under_an_old_name_is_another_cell(studio: Server) -> None:
    (name, *_) = add_loras(studio, "replaced", 1)
    graph = sweep(from_folder("replaced"), prompts="a cat", seeds="1", strengths="1", with_base=False)
    first = pixels(studio, shown(done(studio.run(graph)))[0])
    other = studio.base / "models" / "loras" / "sweep" / "other-000002.safetensors"
    target = studio.base / "models" / "loras" / name
    target.write_bytes(other.read_bytes())
    run = done(studio.run(graph))
    assert story(run).count("test") == 1
    assert not np.array_equal(pixels(studio, shown(run)[0]), first)


def test_each_cell_carries_its_workflow(studio: Server) -> None:
    graph = two_by_two(seeds="17")
    run = done(studio.run(graph, extra_data={"extra_pnginfo": {"workflow": {"nodes": [], "id": "mine"}}}))
    for message in shown(run):
        entry = images(message)[0]
        assert entry["type"] == "output" and entry["subfolder"] == "danlu/sweep"
        with Image.open(studio.base / "output" / entry["subfolder"] / entry["filename"]) as picture:
            assert json.loads(picture.info["workflow"])["id"] == "mine"
            assert "DanluSweep" in picture.info["prompt"]
    with Image.open(studio.base / "output" / entry["subfolder"] / images(shown(run)[0])[0]["filename"]) as picture:
        assert json.loads(picture.info["danlu_cell"]) == {"column": "no LoRA", "row": "a cat"}


def test_the_number_of_cells_and_the_time_are_told(studio: Server) -> None:
    texts = done(studio.run(two_by_two(seeds="18", sampler={"steps": 3}))).texts("grid")
    assert texts[0].startswith("10 cells: 2 LoRAs and none, 2 strengths, 2 prompts\n10 of 10 cells to go")
    assert "the first one tells the time" in texts[0]
    assert any("9 of 10 cells to go: about " in text for text in texts)
    assert "all 10 cells are done" in texts[-1]
    again = done(studio.run(two_by_two(seeds="19", sampler={"steps": 3}))).texts("grid")
    assert "10 of 10 cells to go: about " in again[0]  # as long as last time


def test_checkpoints_of_a_run_and_the_best_two(studio: Server) -> None:
    graph = training("flux", seed=41, steps=3, save_every=1, name="swept")
    settings = {"prompts": "a [trigger]", "strengths": "1, 0.5", "with_base": False}
    graph["sweep"] = node("DanluSweep", checkpoints=["train", 2], **settings)
    graph |= body(["sweep", 1], ["sweep", 2], ["sweep", 3], ["sweep", 4])
    graph["grid"] = node("DanluGrid", image=["decode", 0], loop=["sweep", 0])
    run = done(studio.run(graph))
    assert _columns(run) == ["step_1_at_1", "step_2_at_1", "step_3_at_1", "step_2_at_0.5", "step_3_at_0.5"]
    (run_folder(studio, "swept") / "advice.json").write_text(json.dumps({"recommended": [1, 3, 2]}))
    studio.free()
    run = done(studio.run(graph))
    assert _columns(run)[3:] == ["step_1_at_0.5", "step_3_at_0.5"]


def _columns(run: Run) -> list[str]:
    """The prompt names the trigger of the dataset."""
    names = [images(message)[0]["filename"] for message in shown(run)[:-1]]
    assert all("_a_zorp_" in name for name in names)
    return [name.partition("_a_zorp_")[0] for name in names]


def test_a_trigger_that_no_file_tells(studio: Server) -> None:
    run = studio.run(two_by_two(prompts="a [trigger]"))
    assert run.error and "does not say what [trigger] stands for" in run.error["exception_message"]


def test_pictures_to_edit_stand_beside_what_becomes_of_them(studio: Server) -> None:
    graph = sweep(from_folder("sweep"), prompts="a cat", seeds="1", strengths="1", images=["before", 0])
    graph["sweep"]["inputs"]["truths"] = ["truth", 0]
    graph["before"] = node("EmptyImage", width=64, height=64, batch_size=2, color=0xFF0000)
    graph["truth"] = node("EmptyImage", width=64, height=64, batch_size=2, color=0x00FF00)
    graph["encode"] = node("VAEEncode", pixels=["sweep", 5], vae=["decoder", 0])
    graph["sample"]["inputs"].update(latent_image=["encode", 0], denoise=0.5)
    run = done(studio.run(graph))
    # before, truth, none and three LoRAs, of equal pictures: the second is the first's
    grid = opened(studio, images(shown(run)[-1])[0]).reshape(-1, 3)
    for colour in ((255, 0, 0), (0, 255, 0)):
        assert (grid == colour).all(axis=1).sum() == 2 * 64 * 64


def test_the_grid_is_a_picture_for_other_nodes(studio: Server) -> None:
    graph = two_by_two(seeds="20")
    graph["label"] = node("StringConcatenate", string_a="<", string_b=["sweep", 6], delimiter="")
    graph["grid"]["inputs"]["label"] = ["label", 0]
    graph["save"] = node("SaveImage", images=["grid", 0], filename_prefix="pages")
    run = done(studio.run(graph))
    page = opened(studio, run.outputs["save"]["images"][0])
    assert np.array_equal(page, pixels(studio, shown(run)[-1]))
    notes = [json.loads(file.read_text(encoding="utf-8")) for file in cells(studio)]
    assert any(note["label"] == "<no LoRA, a cat" for note in notes)


def test_a_label_needs_no_node_in_between(studio: Server) -> None:
    graph = two_by_two(seeds="20")
    graph["grid"]["inputs"]["label"] = ["sweep", 6]
    assert shown(done(studio.run(graph)))


def test_files_outside_are_refused(studio: Server) -> None:
    for folder in ("../..", "/etc"):
        run = studio.run(sweep(from_folder(folder), prompts="a cat"))
        assert run.error and run.error["node_id"] == "checkpoints", folder
    lora = node("DanluSweepLora", file="/etc/passwd", identity="x")
    graph = {**plain("", 1.0, "a cat", 1), "lora": lora}
    graph["apply"] = node("DanluApplyLoRA", model=["unet", 0], lora=["lora", 0], strength=1.0)
    run = studio.run(graph)
    assert run.error and "outside" in run.error["exception_message"]
