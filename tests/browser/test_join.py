"""Sockets of Join Datasets: another one appears with each wire, and all of them reach the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from danlu.tests.browser.test_run import press_run
from danlu.tests.server import Server

BUILD = """async (folders) => {
  app.graph.clear();
  const add = (type, x, y) => {
    const node = LiteGraph.createNode(type);
    node.pos = [x, y];
    app.graph.add(node);
    return node;
  };
  const join = add('DanluJoinDatasets', 700, 100);
  const sockets = () => join.inputs.filter(input => input.name.startsWith('datasets.')).map(input => input.name);
  const seen = [sockets()];
  for (const [number, folder] of folders.entries()) {
    const load = add('DanluLoadDataset', 100, 100 + 500 * number);
    load.widgets.find(widget => widget.name === 'folder').value = folder;
    load.connect(0, join, join.inputs.findIndex(input => input.name === `datasets.dataset${number}`));
    await new Promise(done => setTimeout(done, 300));
    seen.push(sockets());
  }
  join.widgets.find(widget => widget.name === 'weights').value = '1, 3';
  const show = add('PreviewAny', 1200, 100);
  join.connect(0, show, 0);
  app.canvas.setDirty(true, true);
  return seen;
}"""


@pytest.fixture(scope="module")
def folders(server: Server) -> list[str]:
    names = []
    for number, count in enumerate((2, 1, 1)):
        folder: Path = server.base / "input" / f"join-{number}"
        folder.mkdir()
        for picture in range(count):
            Image.new("RGB", (64, 64), (picture * 50, number * 50, 0)).save(folder / f"{picture}.png")
        names.append(folder.name)
    return names


def test_sockets_grow_and_reach_the_server(page: Any, server: Server, folders: list[str]) -> None:
    seen = page.evaluate(BUILD, folders)
    assert seen[0] and [len(names) for names in seen[1:]] == [2, 3, 4], seen
    entry = press_run(page, server)
    inputs = next(n for n in entry["prompt"][2].values() if n["class_type"] == "DanluJoinDatasets")["inputs"]
    assert [name for name in inputs if name.startswith("datasets.")] == [f"datasets.dataset{i}" for i in range(3)]
    assert inputs["weights"] == "1, 3"
    told = [line for output in entry["outputs"].values() for line in output.get("text", ()) if "datasets" in line]
    assert told and told[0].startswith("3 datasets, 4 images")
    assert "Weights: join-0 33 %, join-1 50 %, join-2 17 % of an epoch" in told[0]
    assert not page.errors
