"""A page with the real front end, in both of its renderers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from danlu.tests.browser.fixtures import browser, page, template_models  # noqa: F401
from danlu.tests.browser.training_page import open_training
from danlu.tests.plugin_server import server  # noqa: F401
from danlu.tests.server import Server


@pytest.fixture
def train_page(page: Any, server: Server, template_models: None) -> Iterator[Any]:  # noqa: F811
    """With the template that trains; what a test that fails leaves running is stopped."""
    open_training(page)
    yield page
    if server.get("/queue")["queue_running"]:
        server.interrupt()
