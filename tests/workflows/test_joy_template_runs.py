"""The template "Caption with JoyCaption" writes what trainers of edit LoRAs want, with JoyCaption's small twin."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from danlu.demo.captioners.squares import SQUARES, draw_square
from danlu.demo.workflow import to_api
from danlu.tests.captioning.test_joy import FOLDER
from danlu.tests.server import REPOSITORY, Server

Graph = dict[str, Any]


@pytest.fixture
def pairs(server: Server) -> Path:
    """Squares, before with a grey bar; no texts."""
    shutil.copytree(FOLDER, server.base / "models" / "LLM" / "joy-tiny", dirs_exist_ok=True)
    folder = server.base / "input" / "squares to clean"
    shutil.rmtree(folder, ignore_errors=True)
    rng = random.Random(2)
    for number, square in enumerate(SQUARES):
        picture = draw_square(*square, rng=rng)
        for side in ("after", "before"):
            (folder / side).mkdir(parents=True, exist_ok=True)
            picture.save(folder / side / f"{number}.png")
            picture.paste((128, 128, 128), (0, 10, 96, 20))
    return folder


def ready(object_info: dict[str, Any], pairs: Path) -> tuple[Graph, dict[str, str]]:
    """The template on these pairs and the small model, and the ids of its nodes by kind."""
    path = REPOSITORY / "workflows" / "Caption with JoyCaption.json"
    graph = to_api(json.loads(path.read_text(encoding="utf-8")), object_info)
    ids = {node["class_type"]: number for number, node in graph.items()}
    graph[ids["DanluJoyCaption"]]["inputs"]["model"] = "joy-tiny"
    folders = {"folder": str(pairs / "after"), "before_folder": str(pairs / "before")}
    graph[ids["DanluLoadDataset"]]["inputs"].update(folders)
    return graph, ids


def texts(pairs: Path) -> list[str]:
    return [path.read_text(encoding="utf-8").strip() for path in sorted((pairs / "after").glob("*.txt"))]


def composed(instruction: str) -> list[str]:
    seen = (f"A {colour} square in the middle of a {background} background." for colour, background in SQUARES)
    return [f"{instruction} {text} cleanup. Keep everything else as it is." for text in seen]


def test_instruction_caption_trigger_and_suffix_become_files(
    server: Server, object_info: dict[str, Any], pairs: Path
) -> None:
    graph, ids = ready(object_info, pairs)
    run = server.run(graph)
    assert run.ok, run.explain()
    assert texts(pairs) == composed("Clean the picture.")
    assert not list((pairs / "before").glob("*.txt"))
    assert "Straightforward" not in run.outputs[ids["DanluJoyCaption"]]["text"][0]
    assert "straightforward caption" in run.outputs[ids["DanluJoyCaption"]]["text"][0]


def test_another_instruction_needs_no_model(server: Server, object_info: dict[str, Any], pairs: Path) -> None:
    graph, ids = ready(object_info, pairs)
    assert server.run(graph).ok
    graph[ids["DanluComposeCaptions"]]["inputs"]["prefix"] = "Remove the bar."
    graph[ids["DanluSaveCaptions"]]["inputs"]["policy"] = "replace"
    (pairs / "after" / "0.txt").write_text("my own words", encoding="utf-8")
    run = server.run(graph)
    assert run.ok, run.explain()
    assert ids["DanluJoyCaption"] not in run.executed()
    assert texts(pairs) == ["my own words", *composed("Remove the bar.")[1:]]
