"""Pictures of the template workflows, for ComfyUI's template browser: each as the real front end shows it.

    python -m demo.screenshots [--output FOLDER] [--renderer nodes2] [TEMPLATE ...]

Needs Playwright and a Chromium, as the browser tests do, and trains nothing.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from .front_end import open_page
from .install import install
from .real_templates import list_only
from .staging import TEMPLATES, parser_of, save, shot, staged, template

# Only listed, never loaded.
CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
MARGIN, WIDTH = 20, 1400
"""Pixels around the graph at its own size; pixels of the picture's width at most."""
# The front end leaves one button in the upper right corner, to end focus mode; this strip is cut off.
STRIP = 60
BARE = {"Comfy.Graph.CanvasInfo": False, "Comfy.Graph.CanvasMenu": False, "Comfy.Minimap.Visible": False}
# -> [[left, top], [right, bottom]] of all nodes, titles included, and groups.
OPEN = """async workflow => {
  await app.loadGraphData(workflow);
  app.extensionManager.focusMode = true;
  await new Promise(resolve => setTimeout(resolve, 1500));
  const boxes = [...app.graph.nodes, ...app.graph.groups].map(item => item.boundingRect);
  const edge = (find, axis, far) => find(...boxes.map(box => box[axis] + (far ? box[axis + 2] : 0)));
  return [[0, 1].map(axis => edge(Math.min, axis, false)), [0, 1].map(axis => edge(Math.max, axis, true))];
}"""
# The graph in its own size, the point `from` of it at `to` on the page.
PLACE = """async ([from, to]) => {
  const { left, top } = app.canvas.canvas.getBoundingClientRect();
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [to[0] - left - from[0], to[1] - top - from[1]];
  app.canvas.setDirty(true, true);
  await new Promise(resolve => setTimeout(resolve, 1500));
}"""


def picture(page: Any, workflow: dict[str, Any]) -> Image.Image:
    """The whole graph, taken at its own size and then made smaller, so that small letters stay readable."""
    low, high = page.evaluate(OPEN, workflow)
    width, height = (math.ceil(end - start) + 2 * MARGIN for start, end in zip(low, high, strict=True))
    page.set_viewport_size({"width": width, "height": STRIP + height})
    page.evaluate(PLACE, [low, [MARGIN, STRIP + MARGIN]])
    graph = shot(page, clip={"x": 0, "y": STRIP, "width": width, "height": height})
    scale = min(1.0, WIDTH / width)
    size = round(width * scale), round(height * scale)
    return graph.resize(size, Image.Resampling.LANCZOS)


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("screenshots", __doc__, TEMPLATES, "renderer")
    parser.add_argument("templates", nargs="*", metavar="TEMPLATE", help="names of templates (default: all)")
    options = parser.parse_args(arguments)
    every = sorted(path.stem for path in TEMPLATES.glob("*.json"))
    wanted = [name for name in every if name in (options.templates or every)]
    with staged(install, list_only, _list_checkpoint, settings=BARE) as (client, browser):
        for name in wanted:
            with open_page(client, browser, options.renderer) as page:
                save(picture(page, template(name)), options.output / f"{name}.jpg")
    return 0


def _list_checkpoint(base: Path) -> None:
    file = base / "models" / "checkpoints" / CHECKPOINT
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


if __name__ == "__main__":
    sys.exit(main())
