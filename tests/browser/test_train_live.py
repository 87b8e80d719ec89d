"""What a train node shows of its run, in both renderers: while it trains, after a reload, in a second tab, later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from danlu.demo.front_end import READY
from danlu.tests.browser.training_page import DISABLED, TRAIN, checkpoints, logs, press, wait
from danlu.tests.server import Server

STATE = f"""async () => {{
  const {{ panelOf }} = await import('/extensions/danlu/train/panel.mjs');
  const panel = {TRAIN} && panelOf({TRAIN});
  if (!panel?.run) return null;
  const numbers = panel.root.querySelectorAll('.danlu-train-numbers > div');
  return {{
    ...panel.drawn, run: panel.run.id, live: panel.run.live, last: panel.run.last, text: panel.text.textContent,
    checkpoints: panel.run.checkpoints, first: panel.run.losses[0]?.[0], size: [...{TRAIN}.size],
    numbers: Object.fromEntries([...numbers].map(each => [each.dataset.name, each.lastChild.textContent])),
    trained: panel.run.validation.trained.length, frames: window.frames_told, seen: panel.root.checkVisibility(),
  }};
}}"""
# Frames of the page that an event came before: all that came since the last frame are one drawing.
COUNT_FRAMES = """async () => {
  const { api } = await import('/scripts/api.js');
  let waits = false;
  window.frames_told = 0;
  const frame = () => { waits = false; window.frames_told += 1; };
  api.addEventListener('danlu.step', () => { if (!waits) requestAnimationFrame(frame); waits = true; });
}"""
DRAWN_POINTS = 20
FAKE = """async ([type, runs]) => {
  const node = LiteGraph.createNode(type);
  node.pos = [100, 100];
  app.graph.add(node);
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [200, 0];
  const base = { node: String(node.id), workflow: app.graph.id, prompt: 'p', steps: 1000, name: '<b>mine</b>' };
  const tell = (kind, more) => app.api.dispatchCustomEvent(`danlu.${kind}`, { ...base, ...more });
  for (const run of runs) {
    tell('run', { run, known: false });
    for (let step = 1; step <= 200; step++) {
      tell('step', { run, step, loss: 0.5, smoothed: 0.4, rate: 1e-4, seconds: 2.5, left: 4000, memory: 'RAM 3.0 GB',
        points: [[step, 0.5 + Math.sin(step) / 9, 0.5 - step / 2000]] });
    }
    const validation = { trained: [[0, 0.5], [100, 0.45]], held_out: [[0, 0.55], [100, 0.5]] };
    tell('checkpoint', { run, step: 100, validation });
  }
  window.node = node;
  window.tell = tell;
  await new Promise(done => setTimeout(done, 500));
}"""
PANEL = "(await import('/extensions/danlu/train/panel.mjs')).panelOf(node)"
FITS = f"""async (width) => {{
  const panel = {PANEL};
  node.setSize([width, node.size[1]]);
  app.canvas.setDirty(true, true);
  await new Promise(done => setTimeout(done, 400));
  const before = [...node.size];
  await new Promise(done => setTimeout(done, 400));
  const {{ root }} = panel, box = root.getBoundingClientRect();
  const chart = root.querySelector('canvas').getBoundingClientRect();
  return {{
    before, after: [...node.size], panel: box.width, high: box.height,
    over: [root.scrollWidth - root.clientWidth, root.scrollHeight - root.clientHeight],
    chart: [chart.width, chart.height],
    numbers: [...root.querySelectorAll('dd')].map(each => [each.textContent, each.scrollWidth > each.clientWidth]),
  }};
}}"""
PIXEL = '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"/>'
RUN, OTHER = "0123456789abcdef01234567", "123456789abcdef012345678"
PICTURES = [{"filename": "a.png", "version": "v2"}]
LATER: dict[str, Any] = {
    "**/danlu/grids?*": {"grids": [{"id": "abc"}, {"id": "older"}]},
    "**/danlu/grids/abc": {
        "cells": [
            {"n": 4, "label": "step 200", "pictures": PICTURES},
            {"n": 5, "label": "step 300", "pictures": []},
        ]
    },
    f"**/danlu/runs/{OTHER}/log*": {
        "name": "other",
        "points": [[1, 0.5, 0.5, 1e-4], [2, 0.4, 0.45, 1e-4]],
        "validation": {"held_out": [], "trained": []},
        "checkpoints": [2],
        "notes": [],
    },
}


def state(page: Any) -> dict[str, Any]:
    return page.evaluate(STATE) or {}


def wait_for_steps(page: Any, last: int) -> dict[str, Any]:
    wait(page, lambda: state(page).get("last", 0) >= last)
    return state(page)


@contextmanager
def another_page(page: Any, server: Server, workflow: Any, fresh: bool = False) -> Iterator[Any]:
    """A second tab of the same browser, or a browser that has never been here, with the workflow opened."""
    context = page.context.browser.new_context(viewport=page.viewport_size) if fresh else page.context
    other = context.new_page()
    other.set_default_timeout(120_000)
    other.renderer, other.errors = page.renderer, []
    other.on("pageerror", lambda error: other.errors.append(str(error)))
    other.goto(server.url, wait_until="domcontentloaded")
    ready(other)
    other.evaluate("workflow => app.loadGraphData(workflow)", workflow)
    yield other
    assert other.errors == []
    (context if fresh else other).close()


def ready(page: Any) -> None:
    page.wait_for_function(READY)
    page.wait_for_function("() => app.extensionManager.workflow?.activeWorkflow")
    page.wait_for_timeout(1500)


def test_watch_reload_second_tab_finish_and_later(train_page: Any, server: Server) -> None:
    page, old, before = train_page, checkpoints(server), set(server.get("/history"))
    old_logs = logs(server)
    assert page.evaluate(DISABLED) == [True] * 3 and state(page) == {}
    page.get_by_test_id("queue-button").click()
    page.wait_for_function(f"() => !({DISABLED})().includes(true)")
    watched = _watched(page)

    # In the middle: the whole history, and on.
    page.reload(wait_until="domcontentloaded")
    ready(page)
    again = wait_for_steps(page, watched["last"])
    assert (again["first"], again["run"], again["live"]) == (1, watched["run"], True)
    went_on = wait_for_steps(page, again["last"] + 3)
    assert went_on["points"] == went_on["last"]

    workflow = page.evaluate("() => app.graph.serialize()")
    with another_page(page, server, workflow) as second:
        there = wait_for_steps(second, went_on["last"])
        assert (there["first"], there["live"]) == (1, True)
        wait_for_steps(second, there["last"] + 3)
        assert second.evaluate(DISABLED) == [False] * 3, "it may be finished from here too"
        press(page, "save", "Save a checkpoint now")
        wait(page, lambda: state(page)["checkpoints"] and state(second)["checkpoints"])
        assert state(page)["trained"] == 2, "the base and the checkpoint were measured"
        press(page, "finish", "Finish now")
        wait(page, lambda: set(server.get("/history")) - before)
        wait(page, lambda: not state(page)["live"] and not state(second)["live"])
        assert second.evaluate(DISABLED) == [True] * 3

    (entry,) = (entry for key, entry in server.get("/history").items() if key not in before)
    assert entry["status"]["status_str"] == "success", entry["status"]
    kinds = {entry["prompt"][2][node]["class_type"] for node in entry["outputs"]}
    assert {"DanluTrainLoRA", "DanluSaveLoRA", "PreviewImage"} <= kinds, "what comes after it ran"
    steps = sorted(int(path.stem) for path in checkpoints(server, old))
    assert len(steps) in (1, 2) and steps[-1] < 5000, "of one step, where finish came right after"
    (log,) = logs(server) - old_logs
    assert log.parent.name == watched["run"]
    done = state(page)
    assert done["last"] == steps[-1] and "step" in done["numbers"] and "left" not in done["numbers"]
    assert "mean of the last tenth" in done["text"], "what was chosen, and what came of it"
    page.wait_for_timeout(500)
    assert page.evaluate(DISABLED) == [True] * 3
    no_picture(page)
    known_to_no_prompt(page, watched["run"])

    # Somewhere else, by the saved workflow alone.
    with another_page(page, server, page.evaluate("() => app.graph.serialize()"), fresh=True) as later:
        found = wait_for_steps(later, done["last"])
        assert (found["points"], found["live"], found["run"]) == (done["points"], False, done["run"])
        assert found["checkpoints"] == steps and found["trained"] == done["trained"]
    assert page.errors == []


def _watched(page: Any) -> dict[str, Any]:
    """After twenty drawings of the chart and twenty events."""
    page.evaluate(COUNT_FRAMES)
    wait(page, lambda: state(page).get("frames", 0) >= 1)
    first = state(page)
    wait(page, lambda: state(page)["heard"] >= first["heard"] + DRAWN_POINTS)
    wait(page, lambda: state(page)["times"] >= first["times"] + DRAWN_POINTS)
    watched = state(page)
    drawn, told = (watched[name] - first[name] for name in ("times", "frames"))
    assert drawn >= told - 1, "the chart is drawn in every frame that an event came before"
    assert watched["first"] == 1 and watched["points"] == watched["last"] > DRAWN_POINTS, "every step is in it"
    assert {"step", "average", "rate", "speed", "left", "memory"} == set(watched["numbers"])
    assert watched["numbers"]["step"].endswith(" / 5,000") and watched["numbers"]["memory"].startswith("RAM ")
    assert "5,000 steps" in watched["text"] and "loss" not in watched["text"], "numbers are shown once"
    assert watched["size"] == first["size"] and watched["seen"], "nothing pushes the node"
    return watched


def no_picture(page: Any) -> None:
    """The host does not draw the curve a second time below."""
    assert page.evaluate(f"() => app.nodeOutputs[{TRAIN}.id].images.length") == 1, "programs have it"
    assert page.evaluate(f"() => !{TRAIN}.imgs && !{TRAIN}.widgets.some(w => /image-preview/.test(w.name))")
    pictures = page.evaluate(
        f"() => document.querySelectorAll(`[data-node-id='${{{TRAIN}.id}}'] img[src*='danlu']`).length"
    )
    assert pictures == 0


def known_to_no_prompt(page: Any, run: str) -> None:
    prompt = page.evaluate("async () => JSON.stringify((await app.graphToPrompt()).output)")
    assert run not in prompt and "danlu_" not in prompt and "text-preview" not in prompt
    node = page.evaluate(f"() => {TRAIN}.serialize()")
    assert node["properties"]["danlu_run"] == run
    names = page.evaluate(f"() => {TRAIN}.widgets.map(w => w.name).filter(n => !/^(danlu_|\\$)/.test(n))")
    assert len(node["widgets_values"]) == len(names), "no value of the panel is saved"


def test_it_fits_and_has_a_large_view(page: Any) -> None:
    page.evaluate(FAKE, ["DanluTrainLoRA", [RUN]])
    it_fits_into_narrow_and_wide_nodes(page)
    the_wheel_zooms_the_graph(page)
    page.evaluate(FAKE, ["DanluTrainLoRA", [RUN, OTHER]])
    a_large_view_and_another_run(page)
    assert page.errors == []


def it_fits_into_narrow_and_wide_nodes(page: Any) -> None:
    for width in (320, 600, 900):
        found = page.evaluate(FITS, width)
        assert found["before"] == found["after"] and abs(found["after"][0] - width) < 2, found
        assert width - 60 < found["panel"] <= width and max(found["over"]) <= 0, found
        assert found["chart"][0] > 0.8 * found["panel"] and found["chart"][1] > 120, found
        assert len(found["numbers"]) == 6 and not any(cut for _, cut in found["numbers"]), found
    assert [text for text, _ in found["numbers"]][0] == "200 / 1,000"
    assert "1 h 06 min" in [text for text, _ in found["numbers"]]
    name = page.evaluate(f"async () => {PANEL}.root.querySelector('.danlu-train-name').innerHTML")
    assert name == "&lt;b&gt;mine&lt;/b&gt;", "names are text"


def the_wheel_zooms_the_graph(page: Any) -> None:
    place = page.evaluate(f"async () => {PANEL}.root.querySelector('canvas').getBoundingClientRect().toJSON()")
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    before = page.evaluate("() => app.canvas.ds.scale")
    page.mouse.wheel(0, 200)
    page.wait_for_function("before => app.canvas.ds.scale !== before", arg=before)
    page.evaluate("() => { app.canvas.ds.scale = 1; app.canvas.setDirty(true, true); }")


def a_large_view_and_another_run(page: Any) -> None:
    shown = page.evaluate(f"async () => {{ const panel = {PANEL}; return [panel.run.id, panel.run.last]; }}")
    assert shown == [OTHER, 200]
    # It went on from step 50: what came after is done again.
    page.evaluate(f"() => tell('step', {{ run: '{OTHER}', step: 51, points: [[51, 1, 1]] }})")
    assert page.evaluate(f"async () => {PANEL}.run.losses.length") == 51
    page.evaluate(
        f"async () => {PANEL}.root.querySelector('canvas').dispatchEvent(new Event('dblclick', {{ bubbles: true }}))"
    )
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    toggle = dialog.get_by_role("button", name="Logarithmic")
    toggle.click()
    assert toggle.get_attribute("aria-pressed") == "true"
    box = dialog.locator("canvas").bounding_box()
    assert box["width"] > 1000 and box["height"] > 400
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    page.evaluate(f"() => tell('end', {{ run: '{OTHER}' }})")
    assert page.evaluate("() => node.widgets.filter(w => w.name.startsWith('danlu_')).every(w => w.disabled)")


def test_pictures_of_a_loop_other_graphs_and_chinese(page: Any) -> None:
    the_newest_picture_of_a_loop(page)
    other_graphs_show_nothing_of_it(page)
    it_speaks_chinese(page)
    assert page.errors == []


def the_newest_picture_of_a_loop(page: Any) -> None:
    page.evaluate(FAKE, ["DanluTrainLoop", [RUN]])
    page.route("**/danlu/grids/**", lambda route: route.fulfill(body=PIXEL, content_type="image/svg+xml"))
    seen = page.evaluate(
        f"""async () => {{
          const grid = LiteGraph.createNode('DanluGrid');
          app.graph.add(grid);
          node.connect(node.findOutputSlot('loop'), grid, grid.findInputSlot('loop'));
          const cell = {{ n: 3, label: 'step 100', pictures: [{{ filename: 'a.png', version: 'v1' }}] }};
          const event = {{ grid: 'abc', workflow: app.graph.id, node: String(grid.id), what: 'done', n: 3, cell }};
          const figure = {PANEL}.picture, img = figure.querySelector('img');
          const hidden = figure.hidden;
          app.api.dispatchCustomEvent('danlu.cell', {{ ...event, workflow: 'another' }});
          const still = figure.hidden;
          app.api.dispatchCustomEvent('danlu.cell', event);
          await new Promise(done => setTimeout(done, 500));
          return [hidden, still, figure.hidden, new URL(img.src).pathname + new URL(img.src).search, img.alt];
        }}"""
    )
    assert seen == [True, True, False, "/api/danlu/grids/abc/cell/3?side=256&v=v1", "step 100"]
    wait(page, lambda: page.evaluate(f"async () => {PANEL}.picture.querySelector('img').naturalWidth") == 16)
    # Later: the run that the node's output names, and the newest cell that is done.
    for address, found in LATER.items():
        page.route(address, lambda route, _request, found=found: route.fulfill(json=found))
    page.evaluate(f"() => node.onExecuted({{ danlu_run: ['{OTHER}'], text: ['it is done'] }})")
    wait(page, lambda: page.evaluate(f"async () => {PANEL}.picture.querySelector('img').alt") == "step 200")
    later = page.evaluate(f"async () => {{ const p = {PANEL}; return [p.run.id, p.run.last, p.text.textContent]; }}")
    assert later == [OTHER, 2, "it is done"]


def other_graphs_show_nothing_of_it(page: Any) -> None:
    """Of another tab, or of a program: a node of the same number is not the one."""
    found = page.evaluate(
        f"""async () => {{
          window.node = LiteGraph.createNode('DanluTrainLoRA');
          app.graph.add(node);
          const event = {{ run: '{RUN}', node: String(node.id), steps: 10, known: false }};
          for (const workflow of ['another', '', undefined]) {{
            app.api.dispatchCustomEvent('danlu.run', {{ ...event, workflow }});
            app.api.dispatchCustomEvent('danlu.step', {{ ...event, workflow, step: 1, points: [[1, 1, 1]] }});
          }}
          node.onExecuted({{ danlu_run: ['../../elsewhere'] }});
          node.onExecuted({{ danlu_run: [{{}}] }});
          await new Promise(done => setTimeout(done, 500));
          return [{PANEL} === undefined, node.properties.danlu_run === undefined];
        }}"""
    )
    assert found == [True, True]


def it_speaks_chinese(page: Any) -> None:
    page.evaluate("async () => await app.extensionManager.setting.set('Comfy.Locale', 'zh')")
    try:
        # The front end opens the graph anew.
        page.wait_for_function("() => !app.graph.nodes.includes(node)")
        page.evaluate(FAKE, ["DanluTrainLoRA", [RUN]])
        texts = page.evaluate(f"async () => [...{PANEL}.root.querySelectorAll('dt, dd')].map(each => each.textContent)")
    finally:
        page.evaluate("async () => await app.extensionManager.setting.set('Comfy.Locale', 'en')")
    assert texts[::2] == ["步数", "平均损失", "学习率", "速度", "剩余时间", "内存"] and "1 小时 06 分" in texts
