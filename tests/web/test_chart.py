"""The chart of the pages, in a Chromium without the host: what is drawn, and how fast."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from danlu.tests.browser.fixtures import browser  # noqa: F401

WEB = Path(__file__).parents[2] / "web"
ADDRESS = "http://chart.test/"
PAGE = """<style>.danlu-chart { background: #fff }</style>
<div id="box" style="position: relative; width: 600px; height: 240px"><canvas></canvas></div>"""
MAKE = """async (options) => {
  const { makeChart, COLOURS } = await import('/parts/chart.mjs');
  window.COLOURS = COLOURS;
  window.canvas = document.querySelector('canvas');
  window.chart = makeChart(canvas, options);
  window.frame = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  window.ink = colour => {
    const pen = canvas.getContext('2d'), [r, g, b] = colour.match(/\\w\\w/g).map(part => parseInt(part, 16));
    const { data, width } = pen.getImageData(0, 0, canvas.width, canvas.height);
    const found = [];
    for (let k = 0; k < data.length; k += 4) {
      const far = Math.abs(data[k] - r) + Math.abs(data[k + 1] - g) + Math.abs(data[k + 2] - b);
      if (data[k + 3] > 200 && far < 12) found.push([(k / 4) % width, Math.floor(k / 4 / width)]);
    }
    return found;
  };
  await frame();
}"""
SHOW = """async ([series, marks]) => { chart.show({ series, marks }); await frame(); return chart.drawn; }"""
SAID = """() => {
  window.said = [];
  const write = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
    said.push(text);
    return write.call(this, text, ...rest);
  };
}"""
RED, BLUE = "#ff0000", "#0000ff"


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:  # noqa: F811
    context = browser.new_context(viewport={"width": 800, "height": 400})
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.route(f"{ADDRESS}**", _serve)
    opened.goto(ADDRESS)
    yield opened
    context.close()
    assert errors == []


def _serve(route: Any) -> None:
    name = route.request.url.removeprefix(ADDRESS)
    if not name:
        route.fulfill(body=PAGE, content_type="text/html")
    else:
        route.fulfill(body=(WEB / name).read_text(encoding="utf-8"), content_type="text/javascript")


def series(points: list[list[float]], colour: str = RED, **more: Any) -> dict[str, Any]:
    return {"name": "loss", "colour": colour, "points": points, **more}


def ink(page: Any, colour: str) -> list[list[int]]:
    return page.evaluate("colour => ink(colour)", colour)


def test_lines_lie_where_their_numbers_are(page: Any) -> None:
    page.evaluate(MAKE, {"xName": "step"})
    page.evaluate(SHOW, [[series([[1, 0.1], [100, 0.9]], width=3), series([[1, 0.5], [100, 0.5]], BLUE, width=3)], []])
    rising, level = ink(page, RED), ink(page, BLUE)
    first, last = min(rising), max(rising)
    assert first[1] > 180 and last[1] < 60, "from the lower left to the upper right"
    assert first[0] < 60 and last[0] > 580
    assert len({y for _, y in level}) <= 4, "a level line"


def test_single_peaks_of_a_loose_curve_set_no_scale(page: Any) -> None:
    page.evaluate(MAKE, {})
    points = [[step, 100.0 if step == 50 else 1.0] for step in range(1, 301)]
    page.evaluate(SHOW, [[series(points, loose=True, width=3)], []])
    loose = min(y for x, y in ink(page, RED) if x > 300)
    page.evaluate(SHOW, [[series(points, width=3)], []])
    assert loose < 60 < 180 < min(y for x, y in ink(page, RED) if x > 300)


def test_curves_that_lie_close_fill_the_height(page: Any) -> None:
    points = [[step, 0.20 + step / 10_000] for step in range(1, 101)]
    page.evaluate(MAKE, {"fit": True})
    page.evaluate(SHOW, [[series(points, width=3)], []])
    fitted = [y for _, y in ink(page, RED)]
    page.evaluate("() => chart.set({ fit: false })")
    page.evaluate(SHOW, [[series(points, width=3)], []])
    whole = [y for _, y in ink(page, RED)]
    assert max(fitted) - min(fitted) > 150 > 30 > max(whole) - min(whole)


def test_a_narrow_legend_names_the_curves_that_matter(page: Any) -> None:
    page.evaluate("() => { document.querySelector('#box').style.width = '195px'; }")
    page.evaluate(SAID)
    page.evaluate(MAKE, {"legend": True})
    points = [[1, 1.0], [100, 2.0]]
    curves = [("single steps", 1), ("the average", 2), ("held out", 2), ("b", 1.5)]
    page.evaluate(SHOW, [[{**series(points, width=width), "name": name} for name, width in curves], []])
    names = [name for name, _ in curves]
    assert [text for text in page.evaluate("() => said") if text in names] == ["the average", "b"]


def test_dashes_leave_gaps(page: Any) -> None:
    page.evaluate(MAKE, {})
    drawn = []
    for dashed in (False, True, [2, 8]):
        page.evaluate(SHOW, [[series([[1, 1.0], [100, 1.0]], width=3, dashed=dashed)], []])
        drawn.append(len({x for x, _ in ink(page, RED)}))
    assert drawn[0] > 500 and 0.4 < drawn[1] / drawn[0] < 0.7 and drawn[2] / drawn[0] < 0.35


def test_a_logarithmic_axis(page: Any) -> None:
    page.evaluate(MAKE, {"log": True})
    points = [[step, 10.0**-step] for step in range(1, 5)] + [[5, 0]]
    page.evaluate(SHOW, [[series(points, dots=True, width=3)], []])
    found = sorted(ink(page, RED))
    middle = [y for x, y in found if abs(x - (found[0][0] + found[-1][0]) / 2) < 4]
    ends = [min(y for x, y in found if x < found[0][0] + 4), max(y for x, y in found if x > found[-1][0] - 4)]
    assert abs(sum(middle) / len(middle) - sum(ends) / 2) < 8, "powers of ten are a straight line"


def test_extremes_survive_thousands_of_points(page: Any) -> None:
    page.evaluate(MAKE, {})
    points = [[step, 1.0] for step in range(20_000)]
    points[7_777] = [7_777, 0.1]
    page.evaluate(SHOW, [[series(points, width=3)], []])
    lowest = max(ink(page, RED), key=lambda place: place[1])
    assert lowest[1] > 160, "a dip of one step in twenty thousand is seen"
    assert abs(lowest[0] - 600 * 0.4) < 40


def test_many_curves_are_drawn_in_no_time(page: Any) -> None:
    page.evaluate(MAKE, {"legend": True})
    took = page.evaluate(
        """async () => {
          const line = k => Array.from({ length: 5000 }, (_, step) => [step, Math.sin(step / 300 + k) + 2]);
          const series = Array.from({ length: 20 }, (_, k) => ({ name: `run ${k}`, colour: COLOURS[k % 8],
            points: line(k) }));
          chart.show({ series });
          await frame();
          const times = [];
          for (let k = 0; k < 9; k++) {
            const before = performance.now();
            canvas.dispatchEvent(new PointerEvent('pointermove', { clientX: 100 + 40 * k, clientY: 100 }));
            await frame();
            times.push(performance.now() - before);
          }
          return times.sort((a, b) => a - b)[4];
        }"""
    )
    assert took < 250, f"{took} ms for a hundred thousand points"


def test_nothing_is_drawn_without_a_cause(page: Any) -> None:
    page.evaluate(MAKE, {})
    before = page.evaluate(SHOW, [[series([[1, 1], [2, 2]])], []])
    page.wait_for_timeout(300)
    assert page.evaluate("() => chart.drawn") == before
    many = page.evaluate(
        "async () => { for (let k = 0; k < 99; k++) chart.changed(); await frame(); return chart.drawn }"
    )
    assert many == before + 1
    page.evaluate("async () => { document.documentElement.style.color = 'red'; await frame(); await frame() }")
    assert page.evaluate("() => chart.drawn") == many + 1, "the theme has changed"


def test_hover_keys_and_marks(page: Any) -> None:
    page.evaluate(MAKE, {"xName": "step"})
    page.evaluate(SAID)
    marks = [{"x": 50, "text": "checkpoint", "colour": BLUE}]
    page.evaluate(SHOW, [[series([[step, step / 8] for step in range(1, 101)])], marks])
    mark = ink(page, BLUE)
    assert mark and min(y for _, y in mark) > 200
    page.mouse.move(8 + mark[0][0], 8 + 100)
    page.evaluate("frame()")
    said = page.evaluate("() => said")
    assert "step 50" in said and "loss  6.25" in said and "checkpoint" in said
    page.mouse.move(700, 300)
    page.locator("canvas").focus()
    page.evaluate("async () => { said.length = 0; await frame() }")
    page.keyboard.press("ArrowRight")
    page.evaluate("frame()")
    assert "step 2" in page.evaluate("() => said")


def test_dragging_shows_a_part_and_two_clicks_all(page: Any) -> None:
    page.evaluate(MAKE, {"zoom": True})
    page.evaluate(SHOW, [[series([[step, 1.0 if step < 50 else 2.0] for step in range(100)], width=3)], []])
    both = {y for _, y in ink(page, RED)}
    page.mouse.move(400, 100)
    page.mouse.down()
    page.mouse.move(560, 100)
    page.mouse.up()
    page.mouse.move(700, 300)
    page.evaluate("frame()")
    assert len({y for _, y in ink(page, RED)}) < 6 < len(both), "only steps of one height"
    page.mouse.dblclick(300, 100)
    page.mouse.move(700, 300)
    page.evaluate("frame()")
    assert {y for _, y in ink(page, RED)} == both


def test_it_keeps_to_its_box_and_fits_its_size(page: Any) -> None:
    page.evaluate(MAKE, {})
    page.evaluate(SHOW, [[series([[1, 1], [2, 2]])], []])
    sizes = page.evaluate(
        """async () => {
          const box = document.getElementById('box');
          const found = [];
          for (const width of [300, 900, 450]) {
            box.style.width = `${width}px`;
            await frame(); await frame();
            found.push([canvas.width, canvas.height, box.clientWidth, box.clientHeight]);
          }
          return found;
        }"""
    )
    assert sizes == [[300, 240, 300, 240], [900, 240, 900, 240], [450, 240, 450, 240]]
