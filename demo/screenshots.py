"""Pictures of the template workflows, for ComfyUI's template browser: each as the real front end shows it.

    python -m demo.screenshots [--output FOLDER] [--renderer nodes2] [TEMPLATE ...]

Needs Playwright and a Chromium, as the browser tests do, and trains nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from .front_end import chromium, open_page
from .install import install
from .real_templates import list_only
from .server import Client, HostProcess

REPOSITORY = Path(__file__).resolve().parent.parent
TEMPLATES = REPOSITORY / "workflows"
# Only listed, never loaded.
CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
MARGIN, WIDTH, QUALITY = 20, 1400, 85
"""Pixels around the graph at its own size; pixels of the picture's width at most; JPEG's."""
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
    png = page.screenshot(clip={"x": 0, "y": STRIP, "width": width, "height": height})
    scale = min(1.0, WIDTH / width)
    size = round(width * scale), round(height * scale)
    return Image.open(io.BytesIO(png)).convert("RGB").resize(size, Image.Resampling.LANCZOS)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="demo.screenshots", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=TEMPLATES, help="folder for the pictures (default: %(default)s)")
    parser.add_argument("--renderer", choices=("canvas", "nodes2"), default="canvas")
    parser.add_argument("templates", nargs="*", metavar="TEMPLATE", help="names of templates (default: all)")
    options = parser.parse_args(arguments)
    comfyui = Path(os.environ["DANLU_COMFYUI"])
    with tempfile.TemporaryDirectory(prefix="danlu-screenshots-") as folder:
        base = Path(folder)
        install(base)
        list_only(base)
        (base / "models" / "checkpoints").mkdir(parents=True, exist_ok=True)
        (base / "models" / "checkpoints" / CHECKPOINT).touch()
        host = HostProcess(comfyui, base, packs={"danlu": REPOSITORY})
        with host, Client(host.url) as client, chromium() as browser:
            _take_all(client, browser, options)
    return 0


def _take_all(client: Client, browser: Any, options: argparse.Namespace) -> None:
    for name, value in BARE.items():
        client.set_setting(name, value)
    for template in sorted(TEMPLATES.glob("*.json")):
        if options.templates and template.stem not in options.templates:
            continue
        with open_page(client, browser, options.renderer) as page:
            target = options.output / f"{template.stem}.jpg"
            picture(page, json.loads(template.read_text(encoding="utf-8"))).save(target, quality=QUALITY)
            print(target, flush=True)


if __name__ == "__main__":
    sys.exit(main())
