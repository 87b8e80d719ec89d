"""Before/after pairs in a running studio."""

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

from .test_dataset_nodes import Graph, ran

RED, BLUE = (200, 30, 40), (30, 40, 200)


@pytest.fixture
def pairs(studio: Server) -> Iterator[Path]:
    """Red befores, blue afters, below the input folder."""
    root = studio.base / "input" / "pairs"
    for name, colour in (("before", RED), ("after", BLUE)):
        (root / name).mkdir(parents=True)
        for number in range(3):
            values = np.full((64, 64, 3), colour, np.uint8)
            values[:, : 8 * (number + 1)] = 255
            Image.fromarray(values).save(root / name / f"{number}.png")
    for number in range(3):
        (root / "after" / f"{number}.txt").write_text("make it blue")
    yield root
    shutil.rmtree(root)


def load_graph(folder: str = "pairs/after", before: str = "pairs/before", **inputs: Any) -> Graph:
    load = node("DanluLoadDataset", folder=folder, trigger="", before_folder=before, **inputs)
    return {"load": load, "show": node("PreviewAny", source=["load", 0])}


def shown(studio: Server, run: Any) -> str:
    """Which colour is on the left of the other in the node's picture."""
    (sheet,) = run.outputs["load"]["images"]
    values = np.asarray(Image.open(studio.base / "temp" / sheet["filename"]).convert("RGB")).astype(int)
    places = {name: (np.abs(values - colour).sum(-1) < 9) for name, colour in (("red", RED), ("blue", BLUE))}
    first = {name: int(np.nonzero(on.any(0))[0][0]) for name, on in places.items()}
    return min(first, key=lambda name: first[name])


def test_the_node_shows_before_and_after(studio: Server, pairs: Path) -> None:
    run = studio.run(load_graph())
    assert run.ok, run.explain()
    assert "3 pairs of before → after" in run.outputs["load"]["text"][0]
    assert shown(studio, run) == "red"


def test_a_mix_up_is_asked_about_and_swapped(studio: Server, pairs: Path) -> None:
    wrong = {"folder": "pairs/before", "before": "pairs/after"}
    run = studio.run(load_graph(**wrong))
    assert not run.ok and "swap_pairs" in run.explain()
    run = studio.run(load_graph(**wrong, swap_pairs=True))
    assert run.ok, run.explain()
    assert shown(studio, run) == "red"
    run = studio.run(load_graph(**wrong, pairs_checked=True))
    assert run.ok, run.explain()
    assert shown(studio, run) == "blue"


def test_another_before_on_disk_is_noticed(studio: Server, pairs: Path) -> None:
    graph = load_graph()
    assert "load" in ran(studio.run(graph))
    assert ran(studio.run(graph)) == set()
    Image.new("RGB", (64, 64), (1, 2, 3)).save(pairs / "before" / "1.png")
    assert "load" in ran(studio.run(graph))
