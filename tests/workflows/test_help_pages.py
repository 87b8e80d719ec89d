"""Help pages: of nodes that exist, about all of their inputs, where the front end looks for them."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from danlu.demo.help_pictures import EXAMPLES, inputs_of
from danlu.tests.server import REPOSITORY, Server

DOCS = REPOSITORY / "web" / "docs"
PAGES = {page.relative_to(DOCS).as_posix(): page for page in sorted(DOCS.rglob("*.md"))}
"""`<NodeId>.md` in English, `<NodeId>/<language>.md` in others."""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_explains_every_input(name: str, object_info: dict[str, Any], server: Server) -> None:
    text = PAGES[name].read_text(encoding="utf-8")
    node, _, language = name.removesuffix(".md").partition("/")
    assert text.startswith(f"# {_display_name(node, language or 'en')}\n")
    for group in ("required", "optional"):
        for key in object_info[node]["input"].get(group, {}):
            assert re.search(rf"\b{key}\b", text), key
    assert server.request("GET", f"/extensions/danlu/docs/{name}").decode("utf-8") == text


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_a_picture_of_its_node(name: str, server: Server) -> None:
    """One for all languages. The front end looks for it from the folder of the pages, whatever the page's own is."""
    text, node = PAGES[name].read_text(encoding="utf-8"), Path(name).parts[0].removesuffix(".md")
    found = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", text)
    assert f"img/{node}.jpg" in [address for _, address in found]
    for words, address in found:
        picture = Image.open(io.BytesIO(server.request("GET", f"/extensions/danlu/docs/{address}")))
        assert words.strip() and picture.format == "JPEG" and picture.width >= 300, address


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_an_example(name: str, object_info: dict[str, Any]) -> None:
    """It ends the page, and speaks of an input or output of this node and of what the picture shows as set."""
    text, node = PAGES[name].read_text(encoding="utf-8"), Path(name).parts[0].removesuffix(".md")
    heading = "## 示例" if name.endswith("/zh.md") else "## Example"
    example = text.rpartition(f"\n{heading}\n\n")[2]
    assert example != text and "\n## " not in example
    info = object_info[node]
    sockets = [*info["input"].get("required", {}), *info["input"].get("optional", {}), *info["output_name"]]
    assert any(f"`{socket}`" in example for socket in sockets)
    for key, value in EXAMPLES[node].values.items():
        if isinstance(value, (str, int)) and not isinstance(value, bool) and "\n" not in str(value):
            assert str(value) in example, key


def test_every_node_has_a_page_and_a_picture(object_info: dict[str, Any]) -> None:
    nodes = {key for key, info in object_info.items() if key.startswith("Danlu") and not info.get("dev_only")}
    assert {name.removesuffix(".md") for name in PAGES if "/" not in name} == nodes == set(EXAMPLES)


@pytest.mark.parametrize("node", EXAMPLES)
def test_a_picture_shows_the_node_as_it_is(node: str, object_info: dict[str, Any]) -> None:
    """Its file says which inputs the node had: `python -m demo.help_pictures NODE` takes it again."""
    with Image.open(DOCS / "img" / f"{node}.jpg") as picture:
        assert picture.info["comment"].decode("utf-8") == inputs_of(object_info[node])


def test_the_pictures_are_small_and_all_of_them_used() -> None:
    pictures = set((DOCS / "img").iterdir())
    assert pictures == {DOCS / "img" / f"{node}.jpg" for node in EXAMPLES}
    assert sum(picture.stat().st_size for picture in pictures) < 3e6


def _display_name(node: str, language: str) -> str:
    texts = (REPOSITORY / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8")
    return json.loads(texts)[node]["display_name"]


def test_pages_are_in_every_language() -> None:
    nodes = {Path(name).parts[0].removesuffix(".md") for name in PAGES}
    assert {f"{node}.md" for node in nodes} | {f"{node}/zh.md" for node in nodes} == set(PAGES)
