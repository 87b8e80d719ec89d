"""Help pages: of nodes that exist, about all of their inputs, where the front end looks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from danlu.tests.server import REPOSITORY, Server

PAGES = sorted((REPOSITORY / "web" / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_explains_every_input(page: Path, object_info: dict[str, Any], server: Server) -> None:
    info, text = object_info[page.stem], page.read_text(encoding="utf-8")
    assert text.startswith(f"# {info['display_name']}\n")
    for group in ("required", "optional"):
        for name in info["input"].get(group, {}):
            assert f"`{name}`" in text, name
    assert server.request("GET", f"/extensions/danlu/docs/{page.name}").decode("utf-8") == text
