"""A page with the real front end, in both of its renderers."""

from __future__ import annotations

from typing import Any

import pytest

from danlu.tests.browser.fixtures import browser, page, template_models  # noqa: F401
from danlu.tests.browser.training_page import open_training
from danlu.tests.plugin_server import server  # noqa: F401


@pytest.fixture
def train_page(page: Any, template_models: None) -> Any:  # noqa: F811
    """With the template that trains."""
    open_training(page)
    return page
