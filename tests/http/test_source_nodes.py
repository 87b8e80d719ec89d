"""Join Datasets, Dataset from Images and Dataset to Images in a running studio."""

from __future__ import annotations

import shutil
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
def places(studio: Server) -> Iterator[Path]:
    """Two folders of 64 x 64 pictures, three in one and two in the other."""
    whole = studio.base / "input" / "sources"
    for name, count in (("cats", 3), ("dogs", 2)):
        (whole / name).mkdir(parents=True)
        for number in range(count):
            values = np.random.RandomState(count * 10 + number).randint(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(values).save(whole / name / f"{number}.png")
        rows = "".join(f"{number}.png,a {name[:-1]} {number}\n" for number in range(count))
        (whole / name / "metadata.csv").write_text(f"file_name,text\n{rows}")
    yield whole
    shutil.rmtree(whole)


def loaders(**cats: Any) -> Graph:
    return {
        "cats": node("DanluLoadDataset", folder="sources/cats", trigger="ohwx", **cats),
        "dogs": node("DanluLoadDataset", folder="sources/dogs", trigger="sks", captions="metadata", weight=2.0),
    }


def join(**inputs: Any) -> dict[str, Any]:
    return node("DanluJoinDatasets", **{"datasets.dataset0": ["cats", 0], "datasets.dataset1": ["dogs", 0], **inputs})


def encoded(graph: Graph) -> Graph:
    return {
        **graph,
        "vae": node("VAELoader", vae_name="tiny/4.safetensors"),
        "clip": node("CLIPLoader", clip_name="tiny/clip.safetensors", type="stable_diffusion"),
        "encode": node("DanluEncodeDataset", dataset=["join", 0], vae=["vae", 0], clip=["clip", 0], resolution="64"),
        "show": node("PreviewAny", source=["encode", 0]),
    }


def ran(run: Any) -> set[str]:
    assert run.ok, run.explain()
    return set(run.executed())


def test_joined_by_weight_role_and_trigger(studio: Server, places: Path) -> None:
    run = studio.run(encoded({**loaders(), "join": join(weights="1, 0.5", triggers="dantong")}))
    assert run.ok, run.explain()
    assert run.outputs["join"]["text"][0].splitlines() == [
        "2 datasets, 5 images",
        "cats (train): 3 images, 3 captions, repeats 1, trigger dantong",
        "dogs (train): 2 images, 2 captions, repeats 1, trigger sks",
    ], "the weight at the socket times the one of the dataset"
    assert run.outputs["encode"]["text"][0].startswith("5 images in 1 size")
    run = studio.run(encoded({**loaders(), "join": join(roles="train, regularisation")}))
    assert run.ok, run.explain()
    assert "Regularisation: 2 images" in run.outputs["encode"]["text"][0]
    run = studio.run(encoded({**loaders(), "join": join(weights="1, 1")}))
    assert run.ok, run.explain()
    assert "Weights: cats 43 %, dogs 57 % of an epoch" in run.outputs["encode"]["text"][0]


def test_one_socket_and_a_gap_between_sockets(studio: Server, places: Path) -> None:
    alone = node("DanluJoinDatasets", **{"datasets.dataset0": ["cats", 0]})
    run = studio.run({**loaders(), "join": alone, "show": node("PreviewAny", source=["join", 0])})
    assert run.ok and run.outputs["join"]["text"][0].startswith("1 dataset, 3 images")
    gap = node("DanluJoinDatasets", **{"datasets.dataset0": ["cats", 0], "datasets.dataset4": ["dogs", 0]})
    run = studio.run({**loaders(), "join": gap, "show": node("PreviewAny", source=["join", 0])})
    assert run.ok and run.outputs["join"]["text"][0].startswith("2 datasets, 5 images")
    gap["inputs"].update(weights="1, 9, 9, 9, 3", triggers="\nno\nno\nno\nmug")
    run = studio.run({**loaders(), "join": gap, "show": node("PreviewAny", source=["join", 0])})
    assert run.ok, run.explain()
    assert "dogs (train, weight 6): 2 images, 2 captions, repeats 1, trigger mug" in run.outputs["join"]["text"][0]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"weights": "1, 2, 3"}, "'weights' has 3 values, but the last wire is at socket 2"),
        ({"weights": "heavy"}, "'weights' holds 'heavy', which is no number"),
        ({"roles": "train, test"}, "'roles' holds 'test'"),
    ],
)
def test_bad_values_reach_the_user(studio: Server, places: Path, inputs: dict[str, str], message: str) -> None:
    graph = {**loaders(), "join": join(**inputs), "show": node("PreviewAny", source=["join", 0])}
    run = studio.run(graph)
    assert run.error is not None and run.error["node_id"] == "join"
    assert message in run.error["exception_message"]


def test_runs_again_when_a_table_changes(studio: Server, places: Path) -> None:
    graph = {**loaders(), "join": join(), "show": node("PreviewAny", source=["join", 0])}
    assert {"cats", "join"} <= ran(studio.run(graph))
    assert ran(studio.run(graph)) == set()
    (places / "cats" / "metadata.csv").write_text("file_name,text\n0.png,edited\n")
    assert "cats" in ran(studio.run(graph))


def test_nodes_of_any_pack_stand_between(studio: Server, places: Path) -> None:
    """Pictures out, mirrored by one of the host's own nodes, and in again with their captions and masks."""
    graph = {
        **loaders(),
        "out": node("DanluDatasetToImages", dataset=["cats", 0], start=1, count=5),
        "half": node("ImageScaleBy", image=["out", 0], upscale_method="area", scale_by=0.5),
        "in": node(
            "DanluDatasetFromImages",
            images=["half", 0],
            captions=["out", 1],
            masks=["out", 3],
            trigger="ohwx",
            name="half",
        ),  # fmt: skip
        "show": node("PreviewAny", source=["in", 0]),
        "names": node("PreviewAny", source=["out", 2]),
    }
    run = studio.run(graph)
    assert run.ok, run.explain()
    assert run.texts("out")[-1] == "1 to 2 of 3 images"
    text = run.outputs["in"]["text"][0]
    assert text.startswith("2 images, 2 captions, repeats 1, trigger ohwx")
    assert run.outputs["names"]["text"] == ["1.png", "2.png"]
    (folder,) = (studio.base / "user" / "__danlu" / "images").glob("half-*")
    assert str(folder) in text
    for number in (1, 2):
        expected = Image.open(places / "cats" / f"{number}.png").reduce(2)
        found = Image.open(folder / f"{number:05}.png")
        assert found.size == (32, 32)
        assert np.abs(np.asarray(found, dtype=int) - np.asarray(expected, dtype=int)).max() <= 1
    assert len(run.outputs["in"]["images"]) == len(run.outputs["in"]["danlu_dataset"]) == 1
    assert not list(places.rglob("masks"))


def test_a_batch_and_one_caption(studio: Server) -> None:
    graph = {
        "images": node("EmptyImage", width=64, height=32, batch_size=3, color=255),
        "text": node("StringConstant", string="plain blue"),
        "in": node("DanluDatasetFromImages", images=["images", 0], captions=["text", 0], repeats=4),
        "show": node("PreviewAny", source=["in", 0]),
    }
    if "StringConstant" not in studio.get("/object_info"):
        graph["text"] = node("PrimitiveString", value="plain blue")
    run = studio.run(graph)
    assert run.ok, run.explain()
    assert run.outputs["in"]["text"][0].startswith("3 images, 3 captions, repeats 4, no trigger")


def test_where_pictures_end(studio: Server, places: Path) -> None:
    out = node("DanluDatasetToImages", dataset=["cats", 0], start=3, count=1)
    run = studio.run({**loaders(), "out": out, "show": node("PreviewImage", images=["out", 0])})
    assert run.error is not None and "give 0 to 2" in run.error["exception_message"]
