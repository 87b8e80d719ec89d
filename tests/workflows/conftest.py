"""The template workflows, and the real front end that opens them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from danlu.tests.browser.fixtures import browser, open_page, page, template_models  # noqa: F401
from danlu.tests.plugin_server import server  # noqa: F401
from danlu.tests.server import REPOSITORY, Server

TEMPLATES = sorted((REPOSITORY / "workflows").glob("*.json"))


@pytest.fixture(params=TEMPLATES, ids=lambda path: path.stem)
def template(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def workflow(template: Path) -> dict[str, Any]:
    return json.loads(template.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def front_end(browser: Any, server: Server, template_models: None) -> Iterator[Any]:  # noqa: F811
    """One page (canvas) for all tests of a module."""
    with open_page(server, browser, "canvas") as opened:
        yield opened


@pytest.fixture(scope="module")
def object_info(server: Server, template_models: None) -> dict[str, Any]:  # noqa: F811
    return server.get("/object_info")


@pytest.fixture(scope="session")
def full_template() -> dict[str, Any]:
    return json.loads((REPOSITORY / "workflows" / "Train a LoRA.json").read_text(encoding="utf-8"))
