"""Load Dataset and Encode Dataset in a running studio."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from danlu.demo.server import node
from danlu.tests.server import Server

Graph = dict[str, dict[str, Any]]


@pytest.fixture
def pictures(studio: Server) -> Iterator[Path]:
    folder = studio.base / "input" / "my 猫"
    folder.mkdir(parents=True)
    for number in range(3):
        values = np.random.RandomState(number).randint(0, 256, (64, 64 + 32 * number, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"picture {number}")
    yield folder
    shutil.rmtree(folder)


def load_graph(folder: str, **inputs: Any) -> Graph:
    load = node("DanluLoadDataset", folder=folder, trigger="dantong", **inputs)
    return {"load": load, "show": node("PreviewAny", source=["load", 0])}


def encode_graph(folder: str, **inputs: Any) -> Graph:
    return {
        **load_graph(folder),
        "vae": node("VAELoader", vae_name="tiny/4.safetensors"),
        "clip": node("CLIPLoader", clip_name="tiny/clip.safetensors", type="stable_diffusion"),
        "encode": node("DanluEncodeDataset", dataset=["load", 0], vae=["vae", 0], clip=["clip", 0], **inputs),
        "show": node("PreviewAny", source=["encode", 0]),
    }


def ran(run: Any) -> set[str]:
    assert run.ok, run.explain()
    return set(run.executed())


def test_loads_and_shows(studio: Server, pictures: Path) -> None:
    run = studio.run(load_graph(pictures.name))
    assert run.ok, run.explain()
    assert run.outputs["load"]["text"] == ["3 images, 3 captions, repeats 1, trigger dantong"]
    (sheet,) = run.outputs["load"]["images"]
    assert (studio.base / "temp" / sheet["filename"]).is_file()
    assert run.texts("load")[-1].startswith("3 images")


def test_runs_again_only_when_files_change(studio: Server, pictures: Path) -> None:
    graph = load_graph(str(pictures))
    assert "load" in ran(studio.run(graph))
    assert ran(studio.run(graph)) == set()
    (pictures / "1.txt").write_text("an edited caption")
    assert "load" in ran(studio.run(graph))
    (pictures / "2.png").unlink()
    run = studio.run(graph)
    assert "load" in ran(run)
    assert "Captions without an image: 2.txt" in run.outputs["load"]["text"][0]


def test_a_zip_in_the_input_folder(studio: Server, pictures: Path) -> None:
    with zipfile.ZipFile(studio.base / "input" / "cats.zip", "w") as file:
        for path in pictures.iterdir():
            file.write(path, path.name)
    unpacked = studio.base / "user" / "__danlu" / "unpacked"
    before = set(unpacked.rglob("*.png"))
    run = studio.run(load_graph("cats.zip"))
    assert run.ok, run.explain()
    assert run.outputs["load"]["text"][0].startswith("3 images, 3 captions")
    assert len(set(unpacked.rglob("*.png")) - before) == 3


@pytest.mark.parametrize(
    ("folder", "message"),
    [("", "'folder' is empty"), ("nowhere", "no folder or .zip"), ("bare", "no picture in"), ("bad", "No picture in")],
)
def test_errors_reach_the_user(studio: Server, folder: str, message: str) -> None:
    (studio.base / "input" / "bare").mkdir(exist_ok=True)
    (studio.base / "input" / "bad").mkdir(exist_ok=True)
    (studio.base / "input" / "bad" / "a.png").write_bytes(b"broken")
    run = studio.run(load_graph(folder))
    assert run.error is not None
    assert (run.error["node_id"], run.error["exception_type"].split(".")[-1]) == ("load", "DanluError")
    assert message in run.error["exception_message"]


def test_encodes_once(studio: Server, pictures: Path) -> None:
    first = studio.run(encode_graph(pictures.name))
    assert first.ok, first.explain()
    assert first.outputs["encode"]["text"][0].startswith("3 images in ")
    assert sum("Encoding picture" in line for line in first.texts("encode")) == 3
    # Each with and without the trigger; the empty one comes on top, unless another test has had it encoded.
    assert sum("Encoding caption" in line for line in first.texts("encode")) in (6, 7)
    assert ran(studio.run(encode_graph(pictures.name))) == set()
    flipped = studio.run(encode_graph(pictures.name, flip=True))
    assert "encode" in ran(flipped)
    assert not any("Encoding caption" in line for line in flipped.texts("encode"))


@pytest.mark.parametrize(
    ("inputs", "message"), [({"resolution": "large"}, "'resolution'"), ({"resolution": "9"}, "16")]
)
def test_bad_resolution(studio: Server, pictures: Path, inputs: dict[str, Any], message: str) -> None:
    run = studio.run(encode_graph(pictures.name, **inputs))
    assert run.error is not None and run.error["node_id"] == "encode"
    assert message in run.error["exception_message"]


def test_interrupt_while_encoding(studio: Server, pictures: Path) -> None:
    for number in range(10, 40):
        values = np.random.RandomState(number).randint(0, 256, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(values).save(pictures / f"{number}.png")
    since = len(studio.messages)
    prompt = studio.queue(encode_graph(pictures.name, resolution="96"))
    studio.wait_for(lambda m: m.type == "progress_text" and "picture 3 of" in m.data["text"], since=since)
    studio.interrupt()
    run = studio.wait(prompt, since=since)
    assert run.interrupted
    again = studio.run(encode_graph(pictures.name, resolution="96"))
    assert again.ok, again.explain()
    assert sum("Encoding picture" in line for line in again.texts("encode")) < 33, "what was done stayed done"


@pytest.mark.parametrize("name", ["DanluLoadDataset", "DanluEncodeDataset"])
def test_every_input_is_explained(studio: Server, name: str) -> None:
    info = studio.object_info(name)
    inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    for key, (_, options) in inputs.items():
        assert len(options.get("tooltip", "")) > 10, key
    assert info["display_name"].endswith("(Danlu)") and info["category"] == "Danlu" and info["description"]
    page = studio.request("GET", f"/extensions/danlu/docs/{name}.md").decode()
    for key in inputs:
        assert key in page, f"{key} is not on the help page"
