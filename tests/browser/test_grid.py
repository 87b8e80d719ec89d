"""The grid in the browser, in both renderers: cells come one by one, two are compared, one is kept."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from danlu.sweep.cells import Place
from danlu.sweep.grids import GridNote, GridStore, PlannedCell
from danlu.sweep.store import CellStore
from danlu.tests.browser.fixtures import write_loras
from danlu.tests.server import REPOSITORY, Server

_seeds = itertools.count(900)
"""Each test has cells of its own."""
OPEN = """async ([workflow, changes]) => {
  // Of its own, or the grid of the test before would be shown.
  await app.loadGraphData({ ...workflow, id: crypto.randomUUID() });
  for (const [type, name, value] of changes) {
    for (const node of app.graph.nodes.filter(each => each.type === type)) {
      node.widgets.find(widget => widget.name === name).value = value;
    }
  }
  const grid = app.graph.nodes.find(node => node.type === 'DanluGrid');
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [300 - grid.pos[0], 160 - grid.pos[1]];
  app.canvas.setDirty(true, true);
}"""
# How many cells were there, each time that it changed.
WATCH = """() => {
  const box = document.querySelector('.danlu-grid-small');
  window.seen = [];
  const count = () => new Set([...box.querySelectorAll('[data-state="done"]')].map(dot => dot.dataset.n)).size;
  new MutationObserver(() => seen.at(-1) !== count() && seen.push(count()))
    .observe(box, { subtree: true, childList: true, attributes: true });
}"""
DONE = "count => document.querySelectorAll('.danlu-grid-small [data-state=\"done\"]').length >= count"
SIZE = "() => [...app.graph.nodes.find(node => node.type === 'DanluGrid').size]"
CELLS = ".danlu-grid-table .danlu-grid-cell"
GRID = "f" * 24


@pytest.fixture(scope="module", autouse=True)
def loras(server: Server, template_models: None) -> None:
    """In a folder that no other test saves into."""
    write_loras(server, "watched")


def template(name: str) -> dict[str, Any]:
    return json.loads((REPOSITORY / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


def open_template(page: Any, name: str, changes: list[list[Any]]) -> None:
    page.evaluate(OPEN, [template(name), [["KSampler", "steps", 2], *changes]])
    page.wait_for_selector(".danlu-grid-small", state="attached")
    page.wait_for_timeout(500)


def run(page: Any, cells: int) -> None:
    page.evaluate(WATCH)
    page.get_by_test_id("queue-button").click()
    page.wait_for_function(DONE, arg=cells, timeout=300_000)


def open_grid(page: Any) -> None:
    page.get_by_role("button", name="Open the grid").click()
    page.wait_for_selector(CELLS)


def order(page: Any, pattern: str = CELLS) -> list[int]:
    return [int(n) for n in page.eval_on_selector_all(pattern, "all => all.map(each => each.dataset.n)")]


def headings(page: Any, role: str) -> list[str]:
    return page.locator(f".danlu-grid-{role}").all_inner_texts()


def test_a_sweep_is_watched_compared_and_found_again(page: Any, server: Server) -> None:
    sweep = [("strengths_for", "all"), ("prompts", "a <b>cat</b>"), ("seeds", str(next(_seeds)))]
    changes: list[list[Any]] = [
        ["DanluCheckpointsFromFolder", "folder", "watched"],
        *(["DanluSweep", *each] for each in sweep),
    ]
    # Steps enough that a busy page can draw one cell before the next is done.
    changes += [["KSampler", "steps", 40]]
    open_template(page, "Compare checkpoints", changes)
    size = page.evaluate(SIZE)
    run(page, 6)  # the base stands at both strengths
    seen = page.evaluate("() => seen")
    assert seen[-1] == 5 and set(seen) >= {1, 2, 3, 4, 5} and seen == sorted(seen), "one after the other"
    assert page.evaluate(SIZE) == size, "pictures do not push the node"
    open_grid(page)
    _see_the_table(page)
    _compare(page)
    page.keyboard.press("Escape")
    assert page.errors == []
    page.wait_for_timeout(1500)  # until the front end has put its workflow by
    page.reload(wait_until="domcontentloaded")
    page.wait_for_function(DONE, arg=6)
    open_grid(page)
    assert page.locator(CELLS).count() == 6 and page.errors == []


def _see_the_table(page: Any) -> None:
    columns, rows = headings(page, "columnheader"), headings(page, "rowheader")
    assert [text for text in columns if text] == ["no LoRA", "000001", "000002"]
    assert rows == ["strength 0.7", "strength 1"]
    assert order(page)[0] == order(page)[3], "the base is the same at both strengths"
    page.keyboard.press("x")
    assert [text for text in headings(page, "columnheader") if text] == ["strength 0.7", "strength 1"]
    page.keyboard.press("x")
    page.locator(".danlu-grid-role", has_text="Strength").locator("select").select_option("page")
    assert page.locator(CELLS).count() == 3
    page.locator(".danlu-grid-page").select_option(label="strength 1")
    page.locator(".danlu-grid-role", has_text="Strength").locator("select").first.select_option("rows")
    assert page.locator(CELLS).count() == 6


def _compare(page: Any) -> None:
    page.locator(CELLS).nth(1).click()
    page.keyboard.press("a")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("b")
    pair = order(page)[1], order(page)[5]
    assert page.locator(f'{CELLS}:has(.danlu-grid-badges > :text-is("B"))').get_attribute("data-n") == str(pair[1])
    page.keyboard.press("c")
    stage = page.locator(".danlu-grid-compare")
    sources = stage.locator("img").evaluate_all("all => all.map(each => each.src)")
    assert len(set(sources)) == 2 and all("/view?" in source for source in sources)
    slider = page.get_by_role("slider", name="Where A ends")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert slider.get_attribute("aria-valuenow") == "40"
    assert stage.locator(".danlu-grid-b").evaluate("pane => pane.style.clipPath") == "inset(0px 0px 0px 40%)"
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 120, steps=4)
    page.mouse.up()
    assert slider.get_attribute("aria-valuenow") == "75"
    page.get_by_role("button", name="Difference").click()
    assert stage.locator(".danlu-grid-b").evaluate("pane => getComputedStyle(pane).mixBlendMode") == "difference"
    page.get_by_role("button", name="Side by side").click()
    widths = stage.locator(".danlu-grid-pane").evaluate_all("all => all.map(each => each.clientWidth)")
    assert abs(widths[0] - widths[1]) <= 1 and sum(widths) < box["width"]
    page.keyboard.press("Escape")
    page.wait_for_selector(".danlu-grid-compare", state="detached")


def test_a_checkpoint_is_kept(page: Any, server: Server) -> None:
    seed = next(_seeds)
    train = [["DanluTrainLoop", name, value] for name, value in (("steps", 2), ("save_every", 1), ("seed", seed))]
    open_template(page, "Train and test every checkpoint", [*train, ["DanluTrainingConfig", "batch_size", 1]])
    run(page, 3)
    open_grid(page)
    assert [text for text in headings(page, "columnheader") if text] == ["no LoRA", "step 1", "step 2"]
    keep = page.locator(".danlu-grid-foot").get_by_role("button", name="Keep this one")
    page.locator(CELLS).nth(0).click()
    assert keep.is_disabled(), "the base has no LoRA"
    page.locator(CELLS).nth(1).click()
    page.keyboard.press("k")
    name = page.get_by_label("File name")
    page.wait_for_selector(".danlu-grid-name")
    assert name.input_value() == "dantong_step_1"
    name.fill(f"kept {page.renderer}")
    page.keyboard.press("Enter")
    page.wait_for_selector('.danlu-grid-cell[data-n="1"] .danlu-grid-badges > :text-is("✓")')
    listed = f"danlu/kept {page.renderer}.safetensors"
    path = server.base / "models" / "loras" / listed
    assert path.is_file() and page.get_by_text(str(path)).count()
    assert listed in server.object_info("LoraLoaderModelOnly")["input"]["required"]["lora_name"][0]
    page.keyboard.press("p")
    page.wait_for_selector('.danlu-grid-cell[data-n="1"] .danlu-grid-badges > :text-is("★")')
    page.get_by_role("button", name="Pinned only").click()
    assert order(page) == [1]
    _save_and_load(page)
    assert page.errors == []


def _save_and_load(page: Any) -> None:
    """The picture carries the graph, which opens beside the one that is open."""
    with page.expect_download() as download:
        page.keyboard.press("s")
    with Image.open(download.value.path()) as picture:
        assert "DanluTrainLoop" in picture.info["workflow"]
    tabs = page.evaluate("() => app.extensionManager.workflow.openWorkflows.length")
    page.get_by_role("button", name="Load workflow").click()
    page.wait_for_function(f"() => app.extensionManager.workflow.openWorkflows.length > {tabs}")
    page.wait_for_function("() => app.graph.nodes.some(node => node.type === 'DanluTrainLoop')")
    assert page.locator(".danlu-dialog").count() == 0


@pytest.fixture
def hundred(server: Server) -> Iterator[str]:
    """A grid of 10 x 10 pictures of 1024 pixels, made without a model."""
    note, store = _hundred(), CellStore(server.base / "user/__danlu/cells", server.base / "output")
    random = np.random.RandomState(0)
    pixels = random.randint(0, 255, (32, 32, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).resize((1024, 1024), Image.Resampling.NEAREST)
    if store.find(note.shared, note.cells[0].signature) is None:
        for cell in note.cells:
            store.add(note.shared, cell.signature, [picture], ("hundred", cell.signature), {})
    GridStore(server.base / "user/__danlu/grids").write(GRID, note)
    yield GRID


def _hundred() -> GridNote:
    places = [Place(f"step {10 * (n % 10)}", None, f"prompt {n // 10}") for n in range(100)]
    cells = [PlannedCell(f"cell {n}", place, signature=f"{n:032x}") for n, place in enumerate(places)]
    return GridNote("hundred", "w", "1", 1.0, "100 cells", "hundred", tuple(cells))


# Of all pictures on the page: how many there are of each kind, and pixels of those that are whole.
PICTURES = """() => {
  const all = [...document.querySelectorAll('.danlu-grid-table img[src]')].filter(each => each.complete);
  const seen = img => {
    const box = img.closest('.danlu-grid-cell').getBoundingClientRect();
    const place = document.querySelector('.danlu-grid-scroll').getBoundingClientRect();
    return box.bottom > place.top - 100 && box.top < place.bottom + 100
      && box.right > place.left - 100 && box.left < place.right + 100;
  };
  const whole = all.filter(each => each.src.includes('/view?'));
  return {
    small: all.filter(each => each.src.includes('/danlu/grids/') && each.naturalWidth <= 256).length,
    whole: whole.length,
    unseen: all.filter(each => !seen(each)).length,
    pixels: all.reduce((sum, each) => sum + each.naturalWidth * each.naturalHeight, 0),
  };
}"""
WIDTHS = "all => all.map(img => [img.clientWidth, img.parentNode.clientWidth])"
SETTLED = f"wanted => {{ const found = ({PICTURES})(); return found.small >= wanted[0] && found.whole >= wanted[1]; }}"


def test_a_hundred_large_cells(page: Any, hundred: str) -> None:
    page.evaluate("async id => (await import('/extensions/danlu/grid/view.mjs')).openGrid(id)", hundred)
    page.wait_for_selector(CELLS)
    page.wait_for_function(SETTLED, arg=[60, 0], timeout=120_000)
    found = page.evaluate(PICTURES)
    assert found["whole"] == 0 and found["pixels"] < 100 * 256**2, "thumbnails"
    sizes = page.locator(f"{CELLS} img").evaluate_all(WIDTHS)
    assert all(width >= cell - 1 for width, cell in sizes), "they fill their cells"
    assert _stays(page), "headings stay where they are"
    place = page.locator(CELLS).nth(0).bounding_box()
    page.mouse.move(place["x"] + 40, place["y"] + 40)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    moved = page.locator(f"{CELLS} img").evaluate_all("all => all.map(img => img.style.transform + img.style.width)")
    assert len(set(moved)) == 1 and "translate(0px, 0px)" not in moved[0], "one zoom moves all"
    page.get_by_role("button", name="100 %").click()
    page.wait_for_function(SETTLED, arg=[0, 30], timeout=120_000)
    page.wait_for_timeout(1000)
    found = page.evaluate(PICTURES)
    assert found["unseen"] == 0, "only what is in sight"
    assert 30 <= found["whole"] <= 45 and found["pixels"] <= 150_000_000
    _pan(page)
    page.get_by_role("button", name="Fit", exact=True).click()
    page.wait_for_function(f"() => ({PICTURES})().whole === 0")
    assert page.errors == []


def _stays(page: Any) -> bool:
    """Whether the headings are in sight after scrolling to the last cell."""
    page.locator(CELLS).last.scroll_into_view_if_needed()
    corners = "all => all.map(each => each.getBoundingClientRect()).map(box => [box.top, box.left])"
    (place,) = page.locator(".danlu-grid-scroll").evaluate_all(corners)
    tops = [top for top, _ in page.locator(".danlu-grid-columnheader").evaluate_all(corners)]
    lefts = [left for _, left in page.locator(".danlu-grid-rowheader").evaluate_all(corners)]
    page.locator(".danlu-grid-scroll").evaluate("each => each.scrollTo(0, 0)")
    return all(abs(top - place[0]) < 2 for top in tops) and all(abs(left - place[1]) < 2 for left in lefts)


def _pan(page: Any) -> None:
    """By the mouse and by keys: all cells alike."""
    transform = f"() => document.querySelector('{CELLS} img').style.transform"
    before = page.evaluate(transform)
    place = page.locator(CELLS).nth(11).bounding_box()
    page.mouse.move(place["x"] + 50, place["y"] + 50)
    page.mouse.down()
    page.mouse.move(place["x"] + 20, place["y"] + 30, steps=3)
    page.mouse.up()
    dragged = page.evaluate(transform)
    page.locator(CELLS).nth(0).focus()
    page.keyboard.press("Shift+ArrowRight")
    assert len({before, dragged, page.evaluate(transform)}) == 3
    (left, top), (left_after, top_after) = (map(float, re.findall(r"-?[\d.]+", text)) for text in (before, dragged))
    assert (round(left_after - left), round(top_after - top)) == (-30, -20)


def test_one_cell_in_full(page: Any, hundred: str) -> None:
    page.evaluate("async id => (await import('/extensions/danlu/grid/view.mjs')).openGrid(id)", hundred)
    page.wait_for_selector(CELLS)
    page.locator(CELLS).nth(0).dblclick()
    heading = page.locator(".danlu-dialog h2").last
    assert heading.inner_text() == "step 0 · prompt 0"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert heading.inner_text() == "step 10 · prompt 1"
    ways = page.locator(".danlu-dialog").last.locator(".danlu-grid-ways button")
    ways.nth(3).click()  # the next prompt
    assert heading.inner_text() == "step 10 · prompt 2"
    page.keyboard.press("Escape")
    assert page.evaluate("() => document.activeElement.dataset.n") == "21", "the grid goes on at that cell"
    page.keyboard.press("Escape")
    assert page.locator(".danlu-dialog").count() == 0 and page.errors == []
