"""What a user types arrives in the prompt as typed, in both renderers."""

from __future__ import annotations

from typing import Any

ADD_NODE = """() => {
  const node = LiteGraph.createNode('DanluTrainingConfig');
  node.pos = [300, 200];
  app.graph.add(node);
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [0, 0];
  app.canvas.setDirty(true, true);
}"""
VALUE_ON_CANVAS = """name => {
  const node = app.graph.nodes[0], widget = node.widgets.find(widget => widget.name === name);
  const box = app.canvas.canvas.getBoundingClientRect();
  const [x, y] = app.canvas.ds.convertOffsetToCanvas([node.pos[0] + node.size[0] * 0.6, node.pos[1] + widget.y + 10]);
  return [x + box.left, y + box.top];
}"""
INPUTS = "async () => Object.values((await app.graphToPrompt()).output)[0].inputs"
DRAWN = "() => app.canvas.visible_nodes?.includes(app.graph.nodes[0]) && app.graph.nodes[0].widgets[0].y > 0"
EDITOR = {"canvas": ".graphdialog input", "nodes2": "[data-node-id] input:focus"}
NUMBERS = [("learning_rate", "1e-4", 0.0001), ("learning_rate", "2.5e-6", 0.0000025), ("batch_size", "4", 4)]


def test_numbers(page: Any) -> None:
    page.evaluate(ADD_NODE)
    page.wait_for_timeout(1000)
    for name, typed, value in NUMBERS:
        type_value(page, name, typed)
        assert page.evaluate(INPUTS)[name] == value
    assert page.errors == []


def type_value(page: Any, name: str, typed: str) -> None:
    click_on_value(page, name)
    page.locator(EDITOR[page.renderer]).wait_for()
    page.keyboard.press("Control+A")
    page.keyboard.type(typed)
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)


def click_on_value(page: Any, name: str) -> None:
    if page.renderer == "canvas":
        page.wait_for_function(DRAWN)
        page.mouse.click(*page.evaluate(VALUE_ON_CANVAS, name))
        return
    order = page.evaluate("name => app.graph.nodes[0].widgets.findIndex(widget => widget.name === name)", name)
    rows = page.locator("[data-node-id] .lg-node-widget")
    # Over the field lies what turns a drag into a change of the value; a click goes on to the field.
    rows.nth(order).locator("input").click(force=True)
