"""A page with the real front end, in both of its renderers."""

from danlu.tests.browser.fixtures import browser, page, template_models  # noqa: F401
from danlu.tests.plugin_server import server  # noqa: F401
