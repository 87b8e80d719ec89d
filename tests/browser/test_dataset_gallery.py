"""The dataset view with many pictures, its keyboard, and one picture large: mask, befores, crops, faces, tokens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from danlu.demo.front_end import open_page
from danlu.tests.browser.datasets import SIZE, card, counted, folder_of, jpeg, open_view
from danlu.tests.server import Server

MANY = 2000
LONGEST = 1500
"""Milliseconds that the page may be busy at a time: the machines of the tests are slow and busy themselves."""
WATCH = """() => {
  window.longest = 0;
  window.most = 0;
  new PerformanceObserver(list => list.getEntries().forEach(task => {
    window.longest = Math.max(window.longest, task.duration);
  })).observe({ type: 'longtask', buffered: false });
  new MutationObserver(() => {
    window.most = Math.max(window.most, document.querySelectorAll('.danlu-card').length);
  }).observe(document.querySelector('.danlu-rows'), { childList: true });
}"""
CHOSEN = "() => [...document.querySelectorAll('[aria-selected=true].danlu-card')].map(each => Number(each.dataset.n))"
HERE = "() => Number(document.activeElement.dataset.n)"


@pytest.fixture(scope="module")
def view(browser: Any, server: Server) -> Iterator[Any]:
    with open_page(server, browser, "canvas") as page:
        yield page
        assert page.errors == []


@pytest.fixture(scope="module")
def many(server: Server) -> Path:
    folder = server.base / "input" / "many"
    folder.mkdir()
    picture = jpeg((90, 140, 60))
    for number in range(MANY):
        (folder / f"{number:04}.jpg").write_bytes(picture)
        tags = f"{'even' if number % 2 == 0 else 'odd'}, number {number}"
        if number % 10:
            (folder / f"{number:04}.txt").write_text(tags, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def nine(server: Server) -> Path:
    return folder_of(server, "nine", {str(number): f"tag {number}, shared" for number in range(9)})


def thumbnails(page: Any) -> list[str]:
    """Addresses that are asked for from now on."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/thumb/" in request.url else None)
    return asked


def test_two_thousand_pictures(view: Any, many: Path) -> None:
    asked = thumbnails(view)
    open_view(view, "many")
    counted(view, f"Pictures: {MANY}, captions: 1800")
    view.evaluate(WATCH)
    view.locator(".danlu-gallery").hover()
    for _ in range(40):
        view.mouse.wheel(0, 3000)
    view.locator(".danlu-card").first.focus()
    view.keyboard.press("End")
    view.wait_for_function("n => Number(document.activeElement.dataset.n) === n", arg=MANY - 1)
    last = card(view, f"{MANY - 1:04}.jpg")
    assert "odd, number 1999" in last.inner_text()
    view.wait_for_function("() => [...document.querySelectorAll('.danlu-card img')].every(each => each.naturalWidth)")
    longest, most = view.evaluate("() => [window.longest, window.most]")
    assert longest < LONGEST and most < 80, (longest, most)
    assert 0 < len(set(asked)) < MANY / 2, "thumbnails of pictures that were only passed by"
    rows = view.evaluate("() => document.querySelector('[role=grid]').getAttribute('aria-rowcount')")
    assert int(rows) == -(-MANY // len(view.locator(".danlu-row").first.locator(".danlu-card").all()))
    view.keyboard.press("Control+a")
    counted(view, f"Selected: {MANY}")
    view.keyboard.press("Home")
    view.wait_for_function("() => Number(document.activeElement.dataset.n) === 0")


def test_search_filter_and_order(view: Any, many: Path) -> None:
    open_view(view, "many")
    view.get_by_label("Filter").select_option("uncaptioned")
    counted(view, f"Pictures: 200 of {MANY}")
    view.get_by_label("Filter").select_option("all")
    view.get_by_role("button", name="odd", exact=True).click()
    counted(view, f"Pictures: 1000 of {MANY}")
    view.get_by_label("Search names and captions").fill("number 19")
    counted(view, f"Pictures: 56 of {MANY}")
    view.locator(".danlu-chip").click()
    counted(view, f"Pictures: 100 of {MANY}")
    view.get_by_label("Order").select_option("-name")
    view.wait_for_function("() => document.querySelector('.danlu-card').dataset.n === '1999'")
    view.get_by_label("Search names and captions").fill("nowhere at all")
    view.get_by_text("No picture fits the search.").wait_for()


def test_choosing_by_keyboard_and_mouse(view: Any, nine: Path) -> None:
    open_view(view, "nine")
    columns = view.locator(".danlu-row").first.locator(".danlu-card").count()
    assert 1 < columns < 9 and view.evaluate(HERE) == 0
    view.keyboard.press("ArrowRight")
    assert view.evaluate(HERE) == 1 and view.evaluate(CHOSEN) == [1]
    view.keyboard.press("Shift+ArrowDown")
    assert view.evaluate(CHOSEN) == list(range(1, columns + 2))
    view.keyboard.press("Escape")
    assert view.evaluate(CHOSEN) == [] and view.get_by_role("dialog").count() == 1
    view.keyboard.press("Space")
    view.keyboard.press("Control+ArrowRight")
    view.keyboard.press("Space")
    assert view.evaluate(CHOSEN) == [columns + 1, columns + 2]
    card(view, "2.jpg").locator(".danlu-check").click()
    assert view.evaluate(CHOSEN) == [2, columns + 1, columns + 2]
    card(view, "0.jpg").locator(".danlu-thumb").click()
    card(view, "3.jpg").locator(".danlu-thumb").click(modifiers=["Shift"])
    assert view.evaluate(CHOSEN) == [0, 1, 2, 3]
    view.keyboard.press("F2")
    assert view.locator(".danlu-editor").get_attribute("aria-label") == "Caption of 3.jpg"
    view.keyboard.press("Control+a")
    assert view.evaluate(CHOSEN) == [0, 1, 2, 3], "the field's own key"
    view.keyboard.press("Escape")
    assert view.evaluate(HERE) == 3


def test_a_pair_and_its_mask_large(view: Any, server: Server) -> None:
    after = folder_of(server, "goal", {"1": "remove the dirt", "2": "remove it"})
    for kind, colour in (("start", (9, 9, 9)), ("white", (255, 255, 255))):
        (after.parent / kind).mkdir()
        for stem in ("1", "2"):
            (after.parent / kind / f"{stem}.jpg").write_bytes(jpeg(colour))
    open_view(view, "goal", before_folder="start", mask_source="folder", mask_folder="white")
    assert card(view, "1.jpg").locator(".danlu-badge").all_inner_texts() == ["mask", "1 before"]
    card(view, "1.jpg").locator(".danlu-thumb").dblclick()
    shown = view.locator(".danlu-sight img")
    assert shown.count() == 1
    for way, kinds in (("Mask", ["picture", "mask"]), ("Before", ["before0", "picture"])):
        view.get_by_role("button", name=way, exact=True).click()
        view.wait_for_function(
            """count => { const all = [...document.querySelectorAll('.danlu-sight img')];
            return all.length === count && all.every(each => each.naturalWidth); }""",
            arg=2,
        )
        assert [each.get_attribute("src").split("which=")[1].split("&")[0] for each in shown.all()] == kinds
    view.get_by_role("button", name="Before over after").click()
    slider = view.get_by_label("How much of the picture before is shown")
    slider.fill("25")
    assert view.locator(".danlu-over").evaluate("each => each.style.clipPath") == "inset(0px 75% 0px 0px)"
    view.locator(".danlu-zoom").click()
    view.get_by_role("button", name="Next picture (→)").focus()
    view.keyboard.press("ArrowRight")
    view.get_by_role("heading", name="2.jpg").wait_for()
    view.keyboard.press("Escape")
    view.wait_for_function("() => document.querySelectorAll('.danlu-cover').length === 1")
    assert view.evaluate(HERE) == 1, "the keyboard is at the picture that was seen last"


def test_what_the_trainer_will_see(view: Any, nine: Path) -> None:
    open_view(view, "nine", resolution="64", trigger="ohwx")
    view.keyboard.press("Shift+Enter")
    final = view.locator(".danlu-final")
    final.wait_for()
    assert final.inner_text() == "ohwx, tag 0, shared"
    view.get_by_role("cell", name="qwen").wait_for()
    rows = [row.split("\t") for row in view.locator(".danlu-numbers").first.inner_text().splitlines()[1:]]
    assert [row[0] for row in rows] == ["clip_l", "t5xxl", "qwen"]
    assert all(4 < int(row[1]) < 20 for row in rows), rows
    answer = view.evaluate("async id => (await fetch(id)).json()", _trainer(view, "64"))
    (fit,) = answer["items"][0]["fits"]
    left, top, right, bottom = fit["box"]
    assert (right - left, bottom - top) < SIZE, "the crop is smaller than the picture"
    drawn = view.locator(".danlu-box-crop rect").evaluate(
        "each => ['x', 'y', 'width', 'height'].map(name => Number(each.getAttribute(name)))"
    )
    assert drawn == [left, top, right - left, bottom - top]
    view.get_by_label("Resolution").fill("32,64")
    view.keyboard.press("Enter")
    view.wait_for_function("() => document.querySelectorAll('.danlu-box-crop').length === 2")
    view.get_by_role("button", name="Crops").click()
    view.wait_for_function("() => document.querySelectorAll('.danlu-box-crop').length === 0")


def _trainer(page: Any, resolution: str) -> str:
    source = page.locator(".danlu-sight img").get_attribute("src")
    return f"{source.split('/image/')[0]}/trainer?n=0&resolution={resolution}"


def test_faces_and_their_crops(view: Any, server: Server) -> None:
    folder = server.base / "input" / "people"
    folder.mkdir()
    portrait = Path(__file__).parents[1] / "doctor" / "collins.jpg"
    with Image.open(portrait) as picture:
        picture.convert("RGB").resize((picture.width * 3, picture.height * 3)).save(folder / "large.png")
    shutil.copy(portrait, folder / "small.jpg")
    open_view(view, "people")
    view.keyboard.press("Shift+Enter")
    view.get_by_role("button", name="Faces").click()
    view.get_by_text("Faces: 1. Face Crops (Danlu) would make crops: 1.").wait_for()
    assert view.locator(".danlu-box-face").count() == view.locator(".danlu-box-keep").count() == 1
    view.get_by_role("button", name="Next picture (→)").click()
    view.get_by_text("Face Crops (Danlu) would make crops: 0.").wait_for()
    assert view.locator(".danlu-box-small text").text_content().startswith("too small")


def test_differences_are_marked_by_words(view: Any) -> None:
    found = view.evaluate(
        """async pairs => {
          const { differences } = await import('/extensions/danlu/dataset/difference.mjs');
          return pairs.map(([before, after]) => differences(before, after));
        }""",
        [["a red hat, rain", "a blue hat, rain, fog"], ["", "new"], ["红色的头发", "黑色的头发"], ["same", "same"]],
    )
    assert found == [
        [["same", "a "], ["old", "red"], ["new", "blue"], ["same", " hat, rain"], ["new", ", fog"]],
        [["new", "new"]],
        [["old", "红"], ["new", "黑"], ["same", "色的头发"]],
        [["same", "same"]],
    ]


def test_in_chinese(view: Any, server: Server, nine: Path) -> None:
    view.evaluate("() => app.extensionManager.setting.set('Comfy.Locale', 'zh')")
    try:
        open_view(view, "nine")
        view.get_by_role("tab", name="标签").wait_for()
        assert view.get_by_role("button", name="全选").is_visible()
    finally:
        view.evaluate("() => app.extensionManager.setting.set('Comfy.Locale', 'en')")
