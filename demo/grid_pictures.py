"""Pictures of training and of the grid's page for the documentation: trains the demo, compares its checkpoints.

    python -m demo.grid_pictures [--output FOLDER] [--steps N] [--theme light] [--renderer nodes2] [--width 2560]

Needs Playwright and a Chromium, as the browser tests do, and some minutes of training.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from .front_end import open_page
from .install import install
from .staging import DOCS, parser_of, save_settled, staged, template, viewport

CHECKPOINTS = 4
STRENGTHS = "1.0, 0.6"
PATIENCE = 1_800_000
"""Milliseconds that training and sampling may take."""
TRAIN = """async ([workflow, steps, every]) => {
  await app.loadGraphData(workflow);
  const loop = app.graph.nodes.find(node => node.type === 'DanluTrainLoop');
  for (const [name, value] of [['steps', steps], ['save_every', every]]) {
    loop.widgets.find(widget => widget.name === name).value = value;
  }
}"""
# The template, with the checkpoints of the run that was trained in place of files.
COMPARE = """async ([workflow, strengths]) => {
  await app.loadGraphData(workflow);
  await app.refreshComboInNodes();
  const sweep = app.graph.nodes.find(node => node.type === 'DanluSweep');
  const run = LiteGraph.createNode('DanluLoadRun');
  app.graph.add(run);
  const widget = run.widgets.find(each => each.name === 'run');
  widget.value = widget.options.values[0];
  const output = run.outputs.findIndex(each => each.type === 'DANLU_CHECKPOINTS');
  run.connect(output, sweep, sweep.inputs.findIndex(each => each.name === 'checkpoints'));
  for (const [name, value] of [['strengths', strengths], ['strengths_for', 'all']]) {
    sweep.widgets.find(each => each.name === name).value = value;
  }
}"""
DONE = """() => {
  const cells = [...document.querySelectorAll('.danlu-grid-small .danlu-grid-dot')];
  return cells.length > 2 && cells.every(cell => cell.dataset.state === 'done');
}"""
MIDDLE = """count => document.querySelectorAll('.danlu-grid-dot[data-state="done"]').length >= count"""
# The node that trains and the grid that fills, side by side and as large as they fit.
LOOK = """() => {
  const nodes = ['DanluTrainLoop', 'DanluGrid'].map(type => app.graph.nodes.find(node => node.type === type));
  nodes[1].pos = [nodes[0].pos[0] + nodes[0].size[0] + 40, nodes[0].pos[1]];
  const least = axis => Math.min(...nodes.map(node => node.pos[axis])) - 40;
  const most = axis => Math.max(...nodes.map(node => node.pos[axis] + node.size[axis])) + 20;
  const [x, y] = [least(0), least(1)];
  const { width, height } = app.canvas.canvas.getBoundingClientRect();
  const [left, top] = [70, 70];
  app.canvas.ds.scale = Math.min((width - left) / (most(0) - x), (height - top) / (most(1) - y), 1);
  app.canvas.ds.offset = [left / app.canvas.ds.scale - x, top / app.canvas.ds.scale - y];
  app.canvas.setDirty(true, true);
}"""
RUN = "() => app.queuePrompt(0, 1)"


def take(page: Any, output: Path, steps: int) -> None:
    """Trains, compares, and saves what the page shows."""
    every = max(1, steps // CHECKPOINTS)
    page.evaluate(TRAIN, [template("Train and test every checkpoint"), steps, every])
    page.evaluate(RUN)
    page.wait_for_function(MIDDLE, arg=CHECKPOINTS - 1, timeout=PATIENCE)
    page.wait_for_timeout(8000)  # some steps further: the curve goes on after the newest picture
    page.evaluate(LOOK)
    save_settled(page, page, output / "training.jpg")
    page.wait_for_function(DONE, timeout=PATIENCE)
    page.evaluate(COMPARE, [template("Compare checkpoints"), STRENGTHS])
    page.evaluate(RUN)
    page.wait_for_function(DONE, timeout=PATIENCE)
    page.get_by_role("button", name="Open the grid").dispatch_event("click")
    page.wait_for_selector(".danlu-grid-cell img[src]")
    cells = page.locator(".danlu-grid-cell")
    for number, key in ((0, "a"), (CHECKPOINTS, "b")):
        cells.nth(number).click()
        page.keyboard.press(key)
    page.keyboard.press("p")
    dialog = page.locator(".danlu-dialog").last
    save_settled(page, dialog, output / "grid-page.jpg")
    page.keyboard.press("c")
    save_settled(page, dialog, output / "grid-compare.jpg")


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("grid_pictures", __doc__, DOCS, "renderer", "theme", "width")
    parser.add_argument("--steps", type=int, default=400, help="of training (default: %(default)s)")
    options = parser.parse_args(arguments)
    settings = {"Comfy.ColorPalette": options.theme, "Comfy.Minimap.Visible": False}
    with (
        staged(install, settings=settings) as (client, browser),
        open_page(client, browser, options.renderer, viewport(options.width)) as page,
    ):
        take(page, options.output, options.steps)
    return 0


if __name__ == "__main__":
    sys.exit(main())
