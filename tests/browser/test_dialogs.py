"""What is done on a page over the graph stays there: keys, dropped files, text in the middle of being typed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from danlu.demo.front_end import open_page
from danlu.tests.browser.datasets import card, folder_of, open_view, texts, type_caption
from danlu.tests.server import Server

CAPTIONS = {"1": "red hair, smile", "2": "blue hair, rain"}
TWO_NODES = """async () => {
  const tracker = app.extensionManager.workflow.activeWorkflow.changeTracker;
  app.graph.clear();
  tracker.captureCanvasState();
  for (const top of [100, 400]) {
    const node = LiteGraph.createNode('DanluPreset');
    node.pos = [100, top];
    app.graph.add(node);
    tracker.captureCanvasState();
  }
}"""
NODES = "() => app.graph.nodes.length"
DROP = """selector => {
  const workflow = { version: 0.4, nodes: [], links: [], last_node_id: 0, last_link_id: 0, extra: {} };
  const data = new DataTransfer();
  data.items.add(new File([JSON.stringify(workflow)], 'other.json', { type: 'application/json' }));
  const how = { bubbles: true, cancelable: true, dataTransfer: data };
  return ['dragover', 'drop'].map(kind => document.querySelector(selector).dispatchEvent(new DragEvent(kind, how)));
}"""
COMPOSING = """([selector, key]) => {
  const how = { key, bubbles: true, cancelable: true, isComposing: true };
  document.querySelector(selector).dispatchEvent(new KeyboardEvent('keydown', how));
}"""


@pytest.fixture(scope="module")
def view(browser: Any, server: Server) -> Iterator[Any]:
    folder_of(server, "dialogs", CAPTIONS)
    with open_page(server, browser, "canvas") as page:
        yield page
        assert page.errors == []


@pytest.fixture
def opened(view: Any) -> Any:
    open_view(view, "dialogs")
    return view


def test_undo_does_not_reach_the_graph(opened: Any) -> None:
    page = opened
    page.evaluate(TWO_NODES)
    card(page, "1.jpg").focus()
    for keys in ("Control+z", "Control+Shift+z", "Control+y", "Delete"):
        page.keyboard.press(keys)
        page.wait_for_timeout(200)
        assert page.evaluate(NODES) == 2
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("Control+z")
    page.wait_for_timeout(200)
    assert page.evaluate(NODES) == 2
    # In a field it takes back what was typed, there.
    card(page, "1.jpg").locator(".danlu-caption").click()
    page.keyboard.type(" x")
    page.keyboard.press("Control+z")
    assert page.locator(".danlu-editor").input_value() != "red hair, smile x"
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.keyboard.press("Control+z")
    page.wait_for_function("() => app.graph.nodes.length === 1")


def test_a_dropped_file_does_not_reach_the_graph(opened: Any) -> None:
    page = opened
    page.evaluate(TWO_NODES)
    assert page.evaluate(DROP, ".danlu-card") == [False, False]
    page.wait_for_timeout(500)
    assert page.evaluate(NODES) == 2


def test_keys_of_an_input_method_neither_save_nor_discard(opened: Any, server: Server) -> None:
    page = opened
    type_caption(page, "2.jpg", "蓝")
    page.evaluate(COMPOSING, [".danlu-editor", "Escape"])
    assert page.locator(".danlu-editor").input_value() == "蓝"
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Replace").click()
    field = '.danlu-panel-tools:not([hidden]) input[type="text"]'
    page.locator(field).first.fill("hair")
    for key in ("Enter", "Escape"):
        page.evaluate(COMPOSING, [field, key])
        page.wait_for_timeout(300)
        assert page.get_by_role("dialog").count() == 1
    assert texts(server.base / "input" / "dialogs")["2.txt"] == b"blue hair, rain"


def test_what_is_typed_while_it_is_written_stays(opened: Any, server: Server) -> None:
    page, file = opened, server.base / "input" / "dialogs" / "1.txt"

    def slow(route: Any) -> None:
        page.wait_for_timeout(1500)
        route.continue_()

    page.route("**/captions", slow)
    type_caption(page, "1.jpg", "red hair")
    page.keyboard.press("Control+Enter")
    type_caption(page, "1.jpg", "red hair, hat")
    page.locator(".danlu-told", has_text="Captions changed: 1").wait_for()
    assert file.read_text(encoding="utf-8") == "red hair"
    assert page.locator(".danlu-editor").input_value() == "red hair, hat"
    page.unroute("**/captions")
    page.keyboard.press("Control+Enter")
    page.get_by_text("Not saved: 1").wait_for(state="hidden")
    page.wait_for_function("() => !document.querySelector('.danlu-draft, .danlu-editor')")
    assert file.read_text(encoding="utf-8") == "red hair, hat"


def test_a_word_that_is_searched_for_is_seen_and_taken_off(opened: Any) -> None:
    page = opened
    page.get_by_role("button", name="Words").click()
    word = page.locator('.danlu-tags [data-tag="rain"]')
    word.click()
    page.wait_for_function("() => document.querySelectorAll('.danlu-card').length === 1")
    assert page.locator(".danlu-search").input_value() == "rain" and word.get_attribute("aria-pressed") == "true"
    word.click()
    page.wait_for_function("() => document.querySelectorAll('.danlu-card').length === 2")
    assert page.locator(".danlu-search").input_value() == ""


def test_a_server_that_does_not_answer_is_named(opened: Any) -> None:
    page = opened
    page.context.set_offline(True)
    try:
        page.locator(".danlu-search").fill("hat")
        page.get_by_text("The server does not answer.").first.wait_for()
    finally:
        page.context.set_offline(False)
        page.errors[:] = [error for error in page.errors if "ERR_INTERNET_DISCONNECTED" not in error]
