"""Pictures of the dataset view for the documentation: the bundled dataset as the real front end shows it.

    python -m demo.dataset_pictures [--output FOLDER] [--renderer nodes2] [--theme light] [--width 2560]

Needs Playwright and a Chromium, as the browser tests do, and trains nothing.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from .front_end import chromium, open_page
from .install import PREFIX, install
from .screenshots import QUALITY, REPOSITORY
from .server import Client, HostProcess

log = logging.getLogger(__name__)

FIND, REPLACE = "striped", "banded"
OPEN = """async folder => {
  const node = LiteGraph.createNode('DanluLoadDataset');
  app.graph.add(node);
  for (const [name, value] of Object.entries({ folder, trigger: 'dantong' })) {
    node.widgets.find(widget => widget.name === name).value = value;
  }
  node.widgets.find(widget => widget.name === 'danlu_open_dataset').callback();
}"""


def take(page: Any, output: Path) -> None:
    """The pictures with their captions, a change before it is made, and one picture as the trainer sees it."""
    page.evaluate(OPEN, PREFIX)
    page.wait_for_selector(".danlu-card img[src]")
    _save(page, output / "dataset-page.jpg")
    page.get_by_role("tab").nth(1).click()
    page.locator(".danlu-field-row input").nth(0).fill(FIND)
    page.locator(".danlu-field-row input").nth(1).fill(REPLACE)
    page.keyboard.press("Enter")
    page.wait_for_selector(".danlu-difference img[src]")
    _save(page, output / "dataset-change.jpg")
    page.keyboard.press("Escape")
    page.locator(".danlu-large").first.click()
    page.wait_for_selector(".danlu-final")
    page.get_by_label("Resolution").fill("64,96,128")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.danlu-box-crop').length === 3")
    _save(page, output / "dataset-large.jpg")


def _save(page: Any, path: Path) -> None:
    page.wait_for_timeout(2000)
    dialog = page.locator(".danlu-dialog").last
    picture = Image.open(io.BytesIO(dialog.screenshot())).convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=QUALITY)
    log.info("%s", path)


def main(arguments: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="demo.dataset_pictures", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=REPOSITORY / "docs", help="folder (default: %(default)s)")
    parser.add_argument("--renderer", choices=("canvas", "nodes2"), default="canvas")
    parser.add_argument("--theme", choices=("dark", "light"), default="dark")
    parser.add_argument("--width", type=int, default=1280, help="of the page, in pixels (default: %(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="danlu-dataset-") as folder:
        install(Path(folder))
        host = HostProcess(Path(os.environ["DANLU_COMFYUI"]), Path(folder), packs={"danlu": REPOSITORY})
        with host, Client(host.url) as client, chromium() as browser:
            client.set_setting("Comfy.ColorPalette", options.theme)
            viewport = (options.width, round(options.width * 0.62))
            with open_page(client, browser, options.renderer, viewport) as page:
                take(page, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
