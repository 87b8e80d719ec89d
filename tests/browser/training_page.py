"""A page with the template that trains."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any

from danlu.tests.server import REPOSITORY, Server

STEPS = 5000
_seeds = itertools.count(200)
"""Each test has a run of its own."""
OPEN = """async ([workflow, seed, steps]) => {
  await app.loadGraphData(workflow);
  const set = (type, name, value) => app.graph.nodes.filter(node => node.type === type)
    .forEach(node => { node.widgets.find(widget => widget.name === name).value = value; });
  set('DanluTrainLoRA', 'seed', seed);
  set('DanluTrainLoRA', 'steps', steps);
  set('DanluTrainingConfig', 'batch_size', 1);
  set('KSampler', 'steps', 1);
  const train = app.graph.nodes.find(node => node.type === 'DanluTrainLoRA');
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [300 - train.pos[0], 60 - train.pos[1]];
  app.canvas.setDirty(true, true);
}"""
TRAIN = "app.graph.nodes.find(node => node.type === 'DanluTrainLoRA')"
DISABLED = f"() => {TRAIN}.widgets.filter(w => w.name.startsWith('danlu_')).map(w => w.disabled)"
PLACE = f"""name => {{
  const node = {TRAIN}, widget = node.widgets.find(w => w.name === name);
  const canvas = app.canvas.canvas.getBoundingClientRect();
  const middle = [node.pos[0] + node.size[0] / 2, node.pos[1] + widget.last_y + 10];
  const [x, y] = app.canvas.ds.convertOffsetToCanvas(middle);
  return [x + canvas.left, y + canvas.top];
}}"""


def open_training(page: Any, steps: int = STEPS) -> None:
    """Opens the template with a seed of its own, the train node in sight."""
    path = REPOSITORY / "workflows" / "Train a LoRA.json"
    workflow = json.loads(path.read_text(encoding="utf-8"))
    page.evaluate(OPEN, [workflow, next(_seeds), steps])
    page.wait_for_timeout(1000)


def press(page: Any, command: str, label: str) -> None:
    """A real click, as a user does it."""
    if page.renderer == "nodes2":
        page.get_by_role("button", name=label).first.click(force=True)
    else:
        page.mouse.click(*page.evaluate(PLACE, f"danlu_{command}"))


def checkpoints(server: Server, than: set[Path] = frozenset()) -> set[Path]:  # type: ignore[assignment]
    return {*(server.base / "user" / "__danlu" / "runs").glob("*/checkpoints/*.safetensors")} - than


def logs(server: Server) -> set[Path]:
    return {*(server.base / "user" / "__danlu" / "runs").glob("*/log.jsonl")}


def wait(page: Any, found: Any, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        page.wait_for_timeout(200)
