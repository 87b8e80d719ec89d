"""The template "Caption a folder" writes right captions beside pictures, with the demo's small Florence-2."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from danlu.demo.workflow import to_api
from danlu.tests.captioning import florence as files
from danlu.tests.captioning.test_florence import PARAGRAPH
from danlu.tests.server import REPOSITORY, Server

Graph = dict[str, Any]


@pytest.fixture
def graph(server: Server, object_info: dict[str, Any]) -> Graph:
    """As it is, but for the model and the folder."""
    shutil.copytree(files.TINY, server.base / "models" / "LLM" / "florence-tiny", dirs_exist_ok=True)
    paths = files.put_pictures(server.base / "input" / "template captions")
    for path in paths:
        path.with_suffix(".txt").unlink(missing_ok=True)
    paths[2].with_suffix(".txt").write_text("my own words", encoding="utf-8")
    path = REPOSITORY / "workflows" / "Caption a folder.json"
    found = to_api(json.loads(path.read_text(encoding="utf-8")), object_info)
    for node in found.values():
        if node["class_type"] == "DanluFlorence2":
            node["inputs"]["model"] = "florence-tiny"
        if node["class_type"] == "DanluLoadDataset":
            node["inputs"]["folder"] = "template captions"
    return found


def test_every_picture_gets_its_text(server: Server, graph: Graph) -> None:
    run = server.run(graph)
    assert run.ok, run.explain()
    folder = server.base / "input" / "template captions"
    texts = [path.read_text(encoding="utf-8").strip() for path in sorted(folder.glob("*.txt"))]
    expected = [f"dantong, {text}" for text in PARAGRAPH]
    assert texts == [*expected[:2], "my own words", *expected[3:]]
    again = server.run(graph)
    assert again.ok, again.explain()
    assert [path.read_text(encoding="utf-8").strip() for path in sorted(folder.glob("*.txt"))] == texts
