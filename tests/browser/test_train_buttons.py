"""The buttons of the train node, in both renderers: they work while it trains, and no file knows of them."""

from __future__ import annotations

import json
from typing import Any

from danlu.demo.server import node
from danlu.tests.browser.training_page import DISABLED, TRAIN, logs, press, wait
from danlu.tests.server import Server

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
