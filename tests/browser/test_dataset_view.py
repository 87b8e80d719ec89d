"""The dataset view: opened from nodes in both renderers; captions, tags, undo, drop and restore on real files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from danlu.demo.front_end import open_page
from danlu.tests.browser.datasets import (
    ADD_NODE,
    caption,
    card,
    counted,
    folder_of,
    open_view,
    texts,
    told,
    type_caption,
)
from danlu.tests.server import Server

BUTTON = "Open the dataset"
PLACE_OF_BUTTON = """id => {
  const node = app.graph.getNodeById(id), canvas = app.canvas.canvas.getBoundingClientRect();
  const button = node.widgets.find(widget => widget.name === 'danlu_open_dataset');
  const place = [node.pos[0] + node.size[0] / 2, node.pos[1] + button.last_y + 10];
  const [x, y] = app.canvas.ds.convertOffsetToCanvas(place);
  return [x + canvas.left, y + canvas.top];
}"""
PRESS = """id => {
  app.graph.getNodeById(id).widgets.find(widget => widget.name === 'danlu_open_dataset').callback();
}"""
TAGGED = {
    "1": "ohwx, red hair, smile, outdoors",
    "2": "blue hair, rain",
    "3": "red hair, hat",
    "4": None,
    "5": "a <b>bold</b> word, <img src=x onerror='window.hacked = 1'>",
}


@pytest.fixture(scope="module")
def view(browser: Any, server: Server) -> Iterator[Any]:
    """One page for all tests of what is inside the view."""
    with open_page(server, browser, "canvas") as page:
        yield page
        assert page.errors == []


def refused(page: Any, status: int) -> None:
    """The browser itself notes in its console that the server has said no, as these tests want it to."""
    page.wait_for_timeout(1000)  # the console's lines come on a way of their own
    assert len(page.errors) == 1 and f"status of {status}" in page.errors.pop()


def press_button(page: Any, node: str) -> None:
    """As a user does: in Nodes 2.0 it is a real button, on the canvas a drawn one."""
    if page.renderer == "nodes2":
        page.get_by_role("button", name=BUTTON).click()
    else:
        page.mouse.click(*page.evaluate(PLACE_OF_BUTTON, node))


def test_from_the_node_to_the_file(page: Any, server: Server) -> None:
    folder = folder_of(server, f"view-{page.renderer}", TAGGED)
    node = page.evaluate(ADD_NODE, ["DanluLoadDataset", {"folder": folder.name, "trigger": "ohwx"}])
    page.wait_for_timeout(1000)
    press_button(page, node)
    page.get_by_role("dialog").wait_for()
    counted(page, "Pictures: 5, captions: 4")
    # The trigger that was put in front is apart from the text, and no part of what is edited.
    assert card(page, "2.jpg").locator(".danlu-added").inner_text().strip() == "ohwx,"
    card(page, "2.jpg").locator(".danlu-caption").click()
    assert page.locator(".danlu-editor").input_value() == "blue hair, rain"
    page.locator(".danlu-editor").fill("blue hair, a wet street")
    page.keyboard.press("Control+Enter")
    told(page, "Captions changed: 1")
    assert texts(folder)["2.txt"].decode().strip() == "blue hair, a wet street"
    assert caption(page, "2.jpg") == "ohwx, blue hair, a wet street"
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    # Nothing of the button is in the workflow's file or in the prompt.
    widgets = page.evaluate("id => app.graph.getNodeById(id).serialize().widgets_values", node)
    prompt = page.evaluate("async id => (await app.graphToPrompt()).output[id].inputs", node)
    assert len(widgets) == len(prompt) and not any("danlu" in name for name in prompt)
    menu = page.evaluate("id => app.collectNodeMenuItems(app.graph.getNodeById(id)).map(item => item?.content)", node)
    assert BUTTON in menu
    assert page.errors == []


def test_other_nodes_run_up_to_there_first(page: Any, server: Server) -> None:
    folder = folder_of(server, f"run-{page.renderer}", TAGGED)
    before = texts(folder)
    load = page.evaluate(ADD_NODE, ["DanluLoadDataset", {"folder": folder.name}])
    edit = page.evaluate(ADD_NODE, ["DanluEditTags", {"remove": "rain"}])
    save = page.evaluate(ADD_NODE, ["DanluSaveCaptions", {}])
    page.evaluate(
        """([load, edit, save]) => {
          const node = id => app.graph.getNodeById(id);
          node(load).connect(0, node(edit), node(edit).findInputSlot('dataset'));
          node(edit).connect(0, node(save), node(save).findInputSlot('dataset'));
        }""",
        [load, edit, save],
    )
    page.evaluate(PRESS, edit)
    runs = len(server.get("/history"))
    page.get_by_role("button", name="Run up to here").click()
    counted(page, "Pictures: 5, captions: 4")
    assert caption(page, "2.jpg") == "blue hair"
    assert texts(folder) == before and len(server.get("/history")) == runs + 1, "Save Captions has run, too"
    page.keyboard.press("Escape")
    page.evaluate(PRESS, edit)
    counted(page, "Pictures: 5, captions: 4")
    assert len(server.get("/history")) == runs + 1, "it has run before"
    assert page.errors == []


def test_captions_are_text(view: Any, server: Server) -> None:
    folder_of(server, "html", TAGGED)
    open_view(view, "html")
    assert caption(view, "5.jpg") == TAGGED["5"]
    view.get_by_role("button", name="Remove: a <b>bold</b> word").click()
    view.locator(".danlu-difference").wait_for()
    assert view.locator(".danlu-difference del").inner_text().startswith("a <b>bold</b> word,")
    view.keyboard.press("Escape")
    assert view.evaluate("() => [window.hacked, document.querySelectorAll('.danlu-cover b').length]") == [None, 0]


def test_what_is_typed_is_kept_until_it_is_saved_or_taken_back(view: Any, server: Server) -> None:
    folder = folder_of(server, "typed", TAGGED)
    before = texts(folder)
    open_view(view, "typed")
    type_caption(view, "1.jpg", "never")
    view.keyboard.press("Escape")
    assert caption(view, "1.jpg") == TAGGED["1"] and view.get_by_role("dialog").count() == 1
    type_caption(view, "3.jpg", "typed\nin two lines")
    type_caption(view, "4.jpg", "the first caption")
    card(view, "1.jpg").locator(".danlu-thumb").click()
    view.get_by_text("Not saved: 2").wait_for()
    assert texts(folder) == before
    # Closing asks; the answer "no" keeps everything.
    view.keyboard.press("Escape")  # nothing is chosen any more
    view.keyboard.press("Escape")
    view.get_by_role("button", name="Cancel", exact=True).click()
    view.get_by_role("button", name="Save all").click()
    told(view, "Captions changed: 2")
    after = {name: text.decode().strip() for name, text in texts(folder).items()}
    assert (after["3.txt"], after["4.txt"]) == ("typed in two lines", "the first caption")
    assert after["1.txt"] == TAGGED["1"]
    type_caption(view, "2.jpg", "given up")
    view.locator(".danlu-bar").get_by_role("button", name="Close", exact=True).click()
    view.get_by_role("button", name="Discard and close").click()
    view.get_by_role("dialog").wait_for(state="detached")
    assert texts(folder)["2.txt"].decode() == TAGGED["2"]


def test_what_somebody_else_wrote_is_not_overwritten_unseen(view: Any, server: Server) -> None:
    folder = folder_of(server, "meanwhile", TAGGED)
    open_view(view, "meanwhile")
    type_caption(view, "2.jpg", "mine")
    (folder / "2.txt").write_text("theirs", encoding="utf-8")
    view.keyboard.press("Control+Enter")
    view.get_by_text("changed the captions of 2.jpg").first.wait_for()
    assert texts(folder)["2.txt"] == b"theirs"
    refused(view, 409)
    # What was typed is still there; saving it once more is a decision.
    assert caption(view, "2.jpg") == "mine"
    card(view, "2.jpg").get_by_role("button", name="Save").click()
    told(view, "Captions changed: 1")
    assert texts(folder)["2.txt"].decode().strip() == "mine"


def test_a_tag_is_replaced_after_a_dry_run_and_undone(view: Any, server: Server) -> None:
    folder = folder_of(server, "replace", TAGGED)
    before = texts(folder)
    open_view(view, "replace")
    view.get_by_role("button", name="Rename: red hair").click()
    view.get_by_label("New name of red hair").fill("auburn hair")
    view.keyboard.press("Enter")
    view.get_by_text("Captions that would change: 2").wait_for()
    shown = view.locator(".danlu-difference")
    assert [each.splitlines()[0] for each in shown.all_inner_texts()] == ["1.jpg", "3.jpg"]
    assert shown.first.locator("del").all_inner_texts() == ["red"]
    assert shown.first.locator("ins").all_inner_texts() == ["auburn"]
    assert texts(folder) == before, "a dry run writes nothing"
    view.get_by_role("button", name="Apply (2)").click()
    told(view, "Captions changed: 2")
    assert b"auburn hair" in texts(folder)["1.txt"] and b"auburn hair" in texts(folder)["3.txt"]
    view.get_by_role("button", name="auburn hair", exact=True).wait_for()
    # Another change on top; both are undone, one after the other.
    type_caption(view, "2.jpg", "something else")
    view.keyboard.press("Control+Enter")
    told(view, "Captions changed: 1")
    for count in (1, 2):
        view.locator(".danlu-told").get_by_role("button", name="Undo").click()
        view.locator(".danlu-foot", has_text=f"as before: {count}").wait_for()
        assert texts(folder) != before
        view.locator(".danlu-foot").get_by_role("button", name="Undo").click()
        told(view, f"as before: {count}")
    assert texts(folder) == before
    assert caption(view, "1.jpg") == TAGGED["1"]


def test_find_and_replace_in_the_chosen_ones(view: Any, server: Server) -> None:
    folder = folder_of(server, "regex", TAGGED)
    open_view(view, "regex")
    card(view, "1.jpg").locator(".danlu-thumb").click()
    card(view, "2.jpg").locator(".danlu-thumb").click(modifiers=["Control"])
    counted(view, "Selected: 2")
    view.get_by_role("tab", name="Replace").click()
    view.get_by_label("Find", exact=True).fill(r"(red|blue) hair")
    view.get_by_label("Replace by").fill(r"hair of \1")
    view.get_by_label("Regular expression").check()
    view.locator(".danlu-side select:visible").select_option("selected")
    view.get_by_role("button", name="Show what would change").click()
    view.get_by_role("button", name="Apply (2)").click()
    told(view, "Captions changed: 2")
    after = {name: text.decode().strip() for name, text in texts(folder).items()}
    assert after["1.txt"] == "ohwx, hair of red, smile, outdoors" and after["2.txt"] == "hair of blue, rain"
    assert after["3.txt"] == TAGGED["3"], "not chosen"
    view.get_by_label("Find", exact=True).fill("(")
    view.get_by_role("button", name="Show what would change").click()
    view.locator(".p-toast-message-error").first.wait_for()
    refused(view, 400)


def test_dropped_pictures_are_moved_aside_and_come_back(view: Any, server: Server) -> None:
    folder = folder_of(server, "drop", TAGGED)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    open_view(view, "drop")
    card(view, "2.jpg").locator(".danlu-thumb").click()
    card(view, "3.jpg").locator(".danlu-thumb").click(modifiers=["Shift"])
    view.keyboard.press("Delete")
    view.get_by_role("dialog").last.get_by_role("button", name="Drop…").click()
    told(view, "Dropped: 2")
    counted(view, "Pictures: 3, captions: 2")
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == [
        "1.jpg", "1.txt", "4.jpg", "5.jpg", "5.txt",
    ]  # fmt: skip
    view.get_by_role("tab", name="Dropped").click()
    view.locator(".danlu-dropped img").first.wait_for()
    assert view.locator(".danlu-dropped .danlu-lines").all_inner_texts() == [TAGGED["2"], TAGGED["3"]]
    view.get_by_role("button", name="Restore: 3.jpg").click()
    told(view, "Restored: 1")
    view.get_by_role("button", name="Restore all").click()
    counted(view, "Pictures: 5, captions: 4")
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert caption(view, "3.jpg") == TAGGED["3"]
