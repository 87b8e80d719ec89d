"""The front end's own help panel shows a page in the user's language, with its picture."""

from __future__ import annotations

from typing import Any

import pytest

from danlu.tests.browser.fixtures import open_page
from danlu.tests.server import Server

NODE = "DanluLoadDataset"
SHOW = """async type => {
  const node = LiteGraph.createNode(type);
  app.graph.add(node);
  node.pos = [300, 200];
  app.canvas.ds.offset = [0, 0];
  app.canvas.ds.scale = 1;
  app.canvas.selectNode(node);
  app.canvas.setDirty(true, true);
}"""
# -> [title, width of the picture once it is there]
READ = """type => {
  const picture = [...document.images].find(image => image.src.endsWith(`/docs/img/${type}.jpg`));
  if (!picture?.naturalWidth) return null;
  return [picture.closest("div").querySelector("h1").textContent, picture.naturalWidth];
}"""


@pytest.mark.parametrize(("locale", "title"), [("en", "Load Dataset (Danlu)"), ("zh", "加载数据集（丹炉）")])
def test_it_shows_the_page_with_its_picture(locale: str, title: str, server: Server, browser: Any) -> None:
    server.set_setting("Comfy.Locale", locale)
    try:
        with open_page(server, browser, "canvas") as page:
            page.evaluate(SHOW, NODE)
            page.get_by_test_id("info-button").click()
            found = page.wait_for_function(READ, arg=NODE).json_value()
            assert found[0] == title and found[1] >= 300
            # It looks for `<NodeId>/en.md` before `<NodeId>.md`.
            assert [error for error in page.errors if "404" not in error] == []
    finally:
        server.set_setting("Comfy.Locale", "en")
