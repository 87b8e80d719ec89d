"""Help pages: of nodes that exist, about all of their inputs, where the front end looks for them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

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


def _display_name(node: str, language: str) -> str:
    texts = (REPOSITORY / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8")
    return json.loads(texts)[node]["display_name"]


def test_pages_are_in_every_language() -> None:
    nodes = {Path(name).parts[0].removesuffix(".md") for name in PAGES}
    assert {f"{node}.md" for node in nodes} | {f"{node}/zh.md" for node in nodes} == set(PAGES)
