"""Dataset Doctor and Face Crops in a running studio."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from danlu.demo.server import node
from danlu.tests.server import REPOSITORY, Server

from .graphs import training

FACE = REPOSITORY / "tests" / "doctor" / "collins.jpg"


@pytest.fixture(scope="module")
def mixed(studio: Server) -> Path:
    """Four noisy pictures, one of them twice, and one blue one."""
    folder = studio.base / "input" / "doctor-mixed"
    shutil.copytree(studio.base / "input" / "pics", folder)
    shutil.copy(folder / "1.png", folder / "again.png")
    Image.new("RGB", (64, 64), "blue").save(folder / "blue.png")
    return folder


@pytest.fixture(scope="module")
def people(studio: Server) -> Path:
    folder = studio.base / "input" / "doctor-people"
    folder.mkdir()
    shutil.copy(FACE, folder / "1.jpg")
    Image.open(FACE).resize((480, 480)).save(folder / "2.png")
    return folder


def doctor(folder: str, **inputs: Any) -> dict[str, Any]:
    return {
        "load": node("DanluLoadDataset", folder=folder, trigger="zorp"),
        "doctor": node("DanluDoctor", dataset=["load", 0], **inputs),
        "save": node("SaveImage", images=["doctor", 1], filename_prefix="doctor"),
    }


def cutting(**inputs: Any) -> dict[str, Any]:
    return {
        "load": node("DanluLoadDataset", folder="doctor-people", trigger="zorp"),
        "cut": node("DanluFaceCrops", dataset=["load", 0], min_size=64, **inputs),
    }


def test_says_what_is_wrong_and_leaves_it_out(studio: Server, mixed: Path) -> None:
    run = studio.run(doctor("doctor-mixed", drop="everything flagged"))
    assert run.ok, run.explain()
    (text,) = run.outputs["doctor"]["text"]
    assert text.startswith("Not ready: 1 problem to solve first") and "same file" in text
    assert "Left out of the dataset, files untouched: 2 images: #5 again.png, #6 blue.png" in text
    assert len(run.outputs["doctor"]["images"]) == len(run.outputs["save"]["images"]) == 2
    assert len(list(mixed.glob("*.png"))) == 6, "files are never deleted"
    graph = {**training("flux", folder="doctor-mixed"), **doctor("doctor-mixed", drop="everything flagged")}
    graph["encode"]["inputs"]["dataset"] = ["doctor", 0]
    encoded = {key: graph[key] for key in ("load", "doctor", "vae", "clip", "encode")}
    encoded["show"] = node("PreviewAny", source=["encode", 0])
    run = studio.run(encoded)
    assert run.ok and run.outputs["encode"]["text"][0].startswith("4 images in ")


def test_options_reach_the_doctor(studio: Server, mixed: Path) -> None:
    wide = Image.new("RGB", (350, 300), "white")
    wide.paste(Image.effect_noise((350, 300), 90).convert("RGB"), (0, 0))
    folder = studio.base / "input" / "wide"
    folder.mkdir()
    wide.save(folder / "1.png")
    sizes = {}
    for step in (16, 64):
        run = studio.run(doctor("wide", resolution="256", bucket_step=step, batch_size=2, pages=0, strictness="strict"))
        assert run.ok, run.explain()
        (text,) = run.outputs["doctor"]["text"]
        assert "bucket not full" in text and len(run.outputs["doctor"]["images"]) == 1
        sizes[step] = text.rsplit("SIZES", 1)[1]
    assert "272 x 240: 1" in sizes[16] and "288 x 224: 1" in sizes[64]
    orders = [studio.run(doctor("doctor-mixed", order=order)) for order in ("flagged first", "as in the dataset")]
    pages = [(studio.base / "temp" / run.outputs["doctor"]["images"][1]["filename"]).read_bytes() for run in orders]
    assert pages[0] != pages[1]


def test_losses_of_a_run(studio: Server) -> None:
    graph = training("flux", steps=24, save_every=24, name="for the doctor")
    graph["doctor"] = node("DanluDoctor", dataset=["load", 0], run=["train", 1])
    run = studio.run(graph)
    assert run.ok, run.explain()
    (text,) = run.outputs["doctor"]["text"]
    assert "The run is too short" in text, "four pictures are too few to tell outliers"
    lines = [
        path.read_text() for path in (studio.base / "user" / "__danlu" / "runs").glob("*/log.jsonl") if path.exists()
    ]
    assert any('"rows": [["' in text for text in lines)


def test_errors_come_before_any_work(studio: Server, mixed: Path) -> None:
    run = studio.run(doctor("doctor-mixed", resolution="huge"))
    assert run.error is not None and "'resolution' is 'huge'" in run.error["exception_message"]


def test_faces_are_cut_and_trained_with(studio: Server, people: Path) -> None:
    graph = cutting(weight=2.0)
    graph["vae"] = node("VAELoader", vae_name="tiny/4.safetensors")
    graph["clip"] = node("CLIPLoader", clip_name="tiny/clip.safetensors", type="stable_diffusion")
    graph["encode"] = node("DanluEncodeDataset", dataset=["cut", 0], vae=["vae", 0], clip=["clip", 0], resolution="64")
    graph["show"] = node("PreviewAny", source=["encode", 0])
    graph["alone"] = node("DanluDoctor", dataset=["cut", 1])
    folder = studio.base / "user" / "__danlu" / "face_crops"
    before = {*folder.glob("*.png")}
    run = studio.run(graph)
    assert run.ok, run.explain()
    assert run.outputs["cut"]["text"][0].startswith("2 crops of heads") and run.outputs["cut"]["images"]
    assert run.outputs["cut"]["danlu_dataset"][0]["pictures"] == 4
    assert run.outputs["encode"]["text"][0].startswith("4 images in ")
    assert "2 images (train)" in run.outputs["alone"]["text"][0]
    assert len({*folder.glob("*.png")} - before) == 2
    dropped = studio.run(cutting(drop="2"))
    assert dropped.ok and dropped.outputs["cut"]["text"][0].startswith("1 crop of heads, 1 dropped")


def test_masks_of_other_nodes(studio: Server, people: Path) -> None:
    """One for each picture, each of its own size, out of one node that gives a list."""
    graph = cutting(detector="none", masks=["masks", 0])
    graph["solid"] = node("SolidMask", value=0.0, width=360, height=360)
    graph["spot"] = node("SolidMask", value=1.0, width=90, height=90)
    graph["mask"] = node("MaskComposite", destination=["solid", 0], source=["spot", 0], x=100, y=60, operation="add")
    graph["image"] = node("MaskToImage", mask=["mask", 0])
    graph["two"] = node("RepeatImageBatch", image=["image", 0], amount=2)
    graph["masks"] = node("ImageToMask", image=["two", 0], channel="red")
    run = studio.run(graph)
    assert run.ok, run.explain()
    assert run.outputs["cut"]["text"][0].startswith("2 crops of heads")
    graph["two"]["inputs"]["amount"] = 3
    run = studio.run(graph)
    assert run.error is not None and "'masks' has 3 masks for 2 pictures" in run.error["exception_message"]
