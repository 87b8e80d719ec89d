"""The buttons of the train node, in both renderers: they work while it trains, and no file knows of them."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest

from danlu.demo.server import node
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
CHINESE = """async () => {
  await app.extensionManager.setting.set('Comfy.Locale', 'zh');
  const node = LiteGraph.createNode('DanluTrainLoRA');
  await app.extensionManager.setting.set('Comfy.Locale', 'en');
  return node.widgets.filter(w => w.name.startsWith('danlu_')).map(w => w.label);
}"""
LOOP = """async () => {
  const loop = LiteGraph.createNode('DanluTrainLoop');
  app.graph.add(loop);
  const runs = (node, id) => {
    const segment = { state: 'running', node_id: `${id}.0.0.1`, display_node_id: id };
    app.api.dispatchCustomEvent('progress_state', { prompt_id: 'p', nodes: { [segment.node_id]: segment } });
    return node.widgets.filter(w => w.name.startsWith('danlu_')).map(w => w.disabled);
  };
  const found = [runs(loop, String(loop.id))];
  const { subgraph, node } = app.graph.convertToSubgraph(new Set([loop]));
  const inner = subgraph.nodes.find(each => each.type === 'DanluTrainLoop');
  found.push(runs(inner, `${node.id}:${inner.id}`), runs(inner, '999'));
  return found;
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


@pytest.fixture
def train_page(page: Any, template_models: None) -> Any:
    path = REPOSITORY / "workflows" / "Train a LoRA.json"
    workflow = json.loads(path.read_text(encoding="utf-8"))
    page.evaluate(OPEN, [workflow, next(_seeds), STEPS])
    page.wait_for_timeout(1000)
    return page


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


def test_pause_and_others_run_and_it_goes_on(train_page: Any, server: Server) -> None:
    page, before, old = train_page, set(server.get("/history")), logs(server)
    page.get_by_test_id("queue-button").click()
    wait(page, lambda: logs(server) - old)
    (log,) = logs(server) - old
    blank = node("EmptyImage", width=8, height=8, batch_size=1, color=0)
    other = server.queue({"blank": blank, "see": node("PreviewImage", images=["blank", 0])})
    page.wait_for_function(f"() => !({DISABLED})().includes(true)", timeout=300_000)
    press(page, "pause", "Pause")
    wait(page, lambda: server.history(other))
    (paused,) = set(server.get("/history")) - before - {other}
    told = dict(server.get("/history")[paused]["status"]["messages"])
    assert "execution_interrupted" in told, "it made way"
    there = len(log.read_text().splitlines())
    wait(page, lambda: len(log.read_text().splitlines()) > there + 2)
    server.interrupt()
    wait(page, lambda: not server.get("/queue")["queue_running"])
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == list(range(1, len(steps) + 1)), "it went on where it was"
    assert page.errors == []


def test_with_nothing_to_stop(train_page: Any) -> None:
    page = train_page
    saved = page.evaluate(f"() => JSON.stringify({TRAIN}.serialize())")
    prompt = page.evaluate("async () => JSON.stringify((await app.graphToPrompt()).output)")
    assert "danlu_" not in prompt and "danlu_" not in saved, "files and prompts know of the buttons"
    values = page.evaluate(f"() => {TRAIN}.serialize().widgets_values")
    names = page.evaluate(f"() => {TRAIN}.widgets.map(w => w.name).filter(n => !/^(danlu_|\\$)/.test(n))")
    assert len(values) == len(names)

    press(page, "finish", "Finish now")
    page.wait_for_timeout(500)
    assert page.get_by_text("No training runs.").count() == 0, "a disabled button takes no clicks"
    page.evaluate(f"() => {TRAIN}.widgets.find(w => w.name === 'danlu_pause').callback()")
    page.get_by_text("No training runs.").first.wait_for(timeout=10_000)
    assert page.evaluate(CHINESE) == ["立即完成", "暂停", "立即保存检查点"]


def test_a_loop_has_them_too_and_in_a_subgraph(page: Any) -> None:
    """What the server says of the segments that a loop node was expanded into."""
    assert page.evaluate(LOOP) == [[False] * 3, [False] * 3, [True] * 3]
    assert page.errors == []
