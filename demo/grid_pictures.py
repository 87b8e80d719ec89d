"""Pictures of training and of the grid's page for the documentation: trains the demo, compares its checkpoints.

    python -m demo.grid_pictures [--output FOLDER] [--steps N] [--theme light] [--renderer nodes2] [--width 2560]

Needs Playwright and a Chromium, as the browser tests do, and some minutes of training.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from .front_end import chromium, open_page
from .install import install
from .screenshots import QUALITY, REPOSITORY, TEMPLATES
from .server import Client, HostProcess

log = logging.getLogger(__name__)

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
    page.evaluate(TRAIN, [_template("Train and test every checkpoint"), steps, every])
    page.evaluate(RUN)
    page.wait_for_function(MIDDLE, arg=CHECKPOINTS - 1, timeout=PATIENCE)
    page.wait_for_timeout(8000)  # some steps further: the curve goes on after the newest picture
    page.evaluate(LOOK)
    _save(page, page, output / "training.jpg")
    page.wait_for_function(DONE, timeout=PATIENCE)
    page.evaluate(COMPARE, [_template("Compare checkpoints"), STRENGTHS])
    page.evaluate(RUN)
    page.wait_for_function(DONE, timeout=PATIENCE)
    page.get_by_role("button", name="Open the grid").dispatch_event("click")
    page.wait_for_selector(".danlu-grid-cell img[src]")
    cells = page.locator(".danlu-grid-cell")
    for number, key in ((0, "a"), (CHECKPOINTS, "b")):
        cells.nth(number).click()
        page.keyboard.press(key)
    page.keyboard.press("p")
    dialog = page.locator(".danlu-dialog")
    _save(page, dialog.last, output / "grid-page.jpg")
    page.keyboard.press("c")
    _save(page, dialog.last, output / "grid-compare.jpg")


def _template(name: str) -> dict[str, Any]:
    return json.loads((TEMPLATES / f"{name}.json").read_text(encoding="utf-8"))


def _save(page: Any, shown: Any, path: Path) -> None:
    """`shown`: the page, or what of it."""
    page.wait_for_timeout(2000)
    picture = Image.open(io.BytesIO(shown.screenshot())).convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=QUALITY)
    log.info("%s", path)


def main(arguments: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="demo.grid_pictures", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=REPOSITORY / "docs", help="folder (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=400, help="of training (default: %(default)s)")
    parser.add_argument("--renderer", choices=("canvas", "nodes2"), default="canvas")
    parser.add_argument("--theme", choices=("dark", "light"), default="dark")
    parser.add_argument("--width", type=int, default=1280, help="of the page, in pixels (default: %(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="danlu-grid-") as folder:
        install(Path(folder))
        host = HostProcess(Path(os.environ["DANLU_COMFYUI"]), Path(folder), packs={"danlu": REPOSITORY})
        with host, Client(host.url) as client, chromium() as browser:
            client.set_setting("Comfy.ColorPalette", options.theme)
            client.set_setting("Comfy.Minimap.Visible", False)
            viewport = (options.width, round(options.width * 0.62))
            with open_page(client, browser, options.renderer, viewport) as page:
                take(page, options.output, options.steps)
    return 0


if __name__ == "__main__":
    sys.exit(main())
