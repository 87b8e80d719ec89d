"""Pictures of the dataset view for the documentation: the bundled dataset as the real front end shows it.

    python -m demo.dataset_pictures [--output FOLDER] [--renderer nodes2] [--theme light] [--width 2560]

Needs Playwright and a Chromium, as the browser tests do, and trains nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from .front_end import open_page
from .install import PREFIX, install
from .staging import DOCS, parser_of, save_settled, staged, viewport

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
    dialog = page.locator(".danlu-dialog").last
    page.evaluate(OPEN, PREFIX)
    page.wait_for_selector(".danlu-card img[src]")
    save_settled(page, dialog, output / "dataset-page.jpg")
    page.get_by_role("tab").nth(1).click()
    page.locator(".danlu-field-row input").nth(0).fill(FIND)
    page.locator(".danlu-field-row input").nth(1).fill(REPLACE)
    page.keyboard.press("Enter")
    page.wait_for_selector(".danlu-difference img[src]")
    save_settled(page, dialog, output / "dataset-change.jpg")
    page.keyboard.press("Escape")
    page.locator(".danlu-large").first.click()
    page.wait_for_selector(".danlu-final")
    page.get_by_label("Resolution").fill("64,96,128")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.danlu-box-crop').length === 3")
    save_settled(page, dialog, output / "dataset-large.jpg")


def main(arguments: list[str] | None = None) -> int:
    options = parser_of("dataset_pictures", __doc__, DOCS, "renderer", "theme", "width").parse_args(arguments)
    with (
        staged(install, settings={"Comfy.ColorPalette": options.theme}) as (client, browser),
        open_page(client, browser, options.renderer, viewport(options.width)) as page,
    ):
        take(page, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
