"""The plan's table on its node, in both renderers, measured and from the cache."""

from __future__ import annotations

import json
from typing import Any

import pytest

from danlu.tests.browser.test_run import press_run
from danlu.tests.server import REPOSITORY, Server

PLAN = """async (workflow) => {
  await app.loadGraphData(workflow);
  const train = app.graph.nodes.find(node => node.type === 'DanluTrainLoRA');
  const plan = LiteGraph.createNode('DanluPlan');
  app.graph.add(plan);
  for (const name of ['model', 'training_data']) {
    const link = app.graph.getLink(train.inputs.find(input => input.name === name).link);
    app.graph.getNodeById(link.origin_id).connect(link.origin_slot, plan, plan.findInputSlot(name));
  }
  const kept = ['UNETLoader', 'CLIPLoader', 'VAELoader', 'DanluLoadDataset', 'DanluEncodeDataset', 'DanluPlan'];
  app.graph.nodes.filter(node => !kept.includes(node.type)).forEach(node => app.graph.remove(node));
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [100 - plan.pos[0], 100 - plan.pos[1]];
  app.canvas.setDirty(true, true);
}"""
SHOWN = """() => {
  const plan = app.graph.nodes.find(node => node.type === 'DanluPlan');
  const table = plan.widgets.find(widget => widget.name === 'plan');
  return [table?.value ?? '', plan.serialize().widgets_values];
}"""


@pytest.fixture
def plan_page(page: Any, template_models: None) -> Any:
    path = REPOSITORY / "workflows" / "Train a LoRA.json"
    page.evaluate(PLAN, json.loads(path.read_text(encoding="utf-8")))
    page.wait_for_timeout(1000)
    return page


def test_the_table_is_on_the_node(plan_page: Any, server: Server) -> None:
    before = plan_page.evaluate(SHOWN)[1]
    entry = press_run(plan_page, server)
    plan_page.wait_for_timeout(1000)
    table, widgets = plan_page.evaluate(SHOWN)
    assert table.startswith("FITS\npeak ") and "\nMEMORY (RAM)\n" in table
    assert "plan" not in next(n for n in entry["prompt"][2].values() if n["class_type"] == "DanluPlan")["inputs"]
    assert widgets == before, "the table is saved with the workflow"
    # Answered from the cache in the second renderer too, and after this.
    press_run(plan_page, server)
    assert plan_page.evaluate(SHOWN)[0] == table
    assert not plan_page.errors
