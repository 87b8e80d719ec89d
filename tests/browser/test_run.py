"""The full template, run by its Run button, in both renderers: what it shows, and what a second run costs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from danlu.tests.browser.training_page import open_training
from danlu.tests.server import Server

STEPS = 2
WIDGETS = "() => JSON.stringify(app.graph.serialize().nodes.map(node => node.widgets_values))"
NEW_PROMPT = """() => {
  app.graph.nodes.find(node => node.title === 'Test prompt').widgets[0].value = 'a large dantong';
}"""


@pytest.fixture
def template_page(page: Any, template_models: None) -> Any:
    """The full template, small, with a run of its own."""
    open_training(page, STEPS)
    return page


def press_run(page: Any, server: Server, timeout: float = 600) -> dict[str, Any]:
    """Clicks the button and waits for what the server says of the prompt that this queued."""
    before = set(server.get("/history"))
    page.get_by_test_id("queue-button").click()
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        for key, entry in server.get("/history").items():
            if key not in before and entry.get("status"):
                assert entry["status"]["status_str"] == "success", entry["status"]
                return entry
        page.wait_for_timeout(250)
    raise AssertionError(f"the prompt has not finished after {timeout:.0f} s\n{server.process.log_tail()}")


def cached(entry: dict[str, Any]) -> set[str]:
    """Types of the nodes that did not run again."""
    (ids,) = (data["nodes"] for name, data in entry["status"]["messages"] if name == "execution_cached")
    return {entry["prompt"][2][node]["class_type"] for node in ids}


def logs(server: Server) -> dict[Path, tuple[int, int]]:
    """Every run's log: when it was last written, and how many steps it has."""
    found = (server.base / "user" / "__danlu" / "runs").glob("*/log.jsonl")
    return {path: (path.stat().st_mtime_ns, len(path.read_text().splitlines())) for path in found}


def test_a_second_run_trains_nothing(template_page: Any, server: Server) -> None:
    page, old = template_page, logs(server)
    widgets = page.evaluate(WIDGETS)
    press_run(page, server)
    trained = logs(server)
    assert [trained[path][1] for path in trained.keys() - old.keys()] == [STEPS]
    page.get_by_text("4 images ×").first.wait_for()

    again = press_run(page, server)
    assert page.evaluate(WIDGETS) == widgets, "the run changed a widget"
    assert logs(server) == trained
    # The save node runs at every queue, and finds its file as it wrote it.
    assert {"DanluTrainLoRA", "KSampler"} <= cached(again)

    page.evaluate(NEW_PROMPT)
    tested = press_run(page, server)
    assert logs(server) == trained, "a test prompt must not train"
    assert "DanluTrainLoRA" in cached(tested) and "KSampler" not in cached(tested)
    assert page.errors == []
