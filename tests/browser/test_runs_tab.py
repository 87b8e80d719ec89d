"""The Runs tab, in both renderers: a training is started, stopped, found there and gone on with; and all that the tab
can do with runs."""

from __future__ import annotations

import itertools
import json
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from danlu.demo.server import node
from danlu.tests.server import REPOSITORY, Server

STEPS = 5000
_seeds = itertools.count(700)
"""Each test has runs of its own."""
OPEN = """async ([workflow, seed, steps, name]) => {
  await app.loadGraphData(workflow, true, true, 'the template');
  const set = (type, name, value) => app.graph.nodes.filter(node => node.type === type)
    .forEach(node => { node.widgets.find(widget => widget.name === name).value = value; });
  set('DanluTrainLoRA', 'seed', seed);
  set('DanluTrainLoRA', 'steps', steps);
  set('DanluTrainLoRA', 'name', name);
  set('DanluTrainingConfig', 'batch_size', 1);
  set('KSampler', 'steps', 1);
}"""
WIDGET = """([type, name]) => app.graph.nodes.find(node => node.type === type)
  ?.widgets.find(widget => widget.name === name).value"""
TAB = "() => app.extensionManager.workflow.activeWorkflow.filename"


def runs_folder(server: Server) -> Path:
    return server.base / "user" / "__danlu" / "runs"


def wait(page: Any, found: Callable[[], Any], seconds: float = 300) -> Any:
    end = time.monotonic() + seconds
    while not (there := found()):
        assert time.monotonic() < end
        page.wait_for_timeout(200)
    return there


def open_tab(page: Any) -> None:
    if not page.locator(".danlu-runs").count():
        page.locator(".danlu-runs-tab-button").click()
    page.locator(".danlu-runs-top").wait_for()


def row(page: Any, name: str) -> Any:
    return page.locator(".danlu-runs-row").filter(has=page.get_by_text(name, exact=True))


def act(page: Any, name: str, button: str) -> None:
    """Presses a button of a run, whose row is opened for it."""
    found = row(page, name)
    head = found.locator(".danlu-runs-open")
    if head.get_attribute("aria-expanded") == "false":
        head.click()
    found.get_by_role("button", name=button, exact=True).click()


def steps_of(log: Path) -> list[int]:
    """In the order they were trained, also those that were trained twice."""
    return [line["step"] for line in map(json.loads, log.read_text().splitlines()) if "step" in line]


@pytest.fixture
def template(template_models: None) -> dict[str, Any]:
    return json.loads((REPOSITORY / "workflows" / "Train a LoRA.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def two_runs(server: Server, template_models: None) -> list[str]:
    """Names of two short runs that programs have queued: they kept no workflow, only a prompt."""
    from danlu.demo.workflow import to_api

    workflow = json.loads((REPOSITORY / "workflows" / "Train a LoRA.json").read_text(encoding="utf-8"))
    graph = to_api(workflow, server.get("/object_info"))
    train = next(key for key, each in graph.items() if each["class_type"] == "DanluTrainLoRA")
    names = ["short one", "short two"]
    for name in names:
        inputs = {**graph[train]["inputs"], "name": name, "seed": next(_seeds), "steps": 12, "save_every": 6}
        nodes = {**graph, train: {**graph[train], "inputs": inputs}, "see": node("PreviewAny", source=[train, 1])}
        run = server.run(_needed(nodes, "see"))
        assert run.ok, run.explain()
    return names


def _needed(graph: dict[str, Any], end: str) -> dict[str, Any]:
    """The node `end` and what it needs."""
    wanted, found = [end], dict[str, Any]()
    while wanted:
        key = wanted.pop()
        found[key] = graph[key]
        links = [value for value in graph[key]["inputs"].values() if isinstance(value, list)]
        wanted += [link[0] for link in links if link[0] not in found]
    return found


def test_stop_and_resume(page: Any, server: Server, template: dict[str, Any]) -> None:
    name = f"resumed {page.renderer}"
    page.evaluate(OPEN, [template, next(_seeds), STEPS, name])
    open_tab(page)
    page.get_by_test_id("queue-button").click()
    state = row(page, name).locator(".danlu-runs-state")
    wait(page, lambda: row(page, name).count() and state.text_content() == "running")
    far = row(page, name).locator(".danlu-runs-line").first
    wait(page, lambda: int(re.findall(r"step ([\d,]+) of 5,000", far.text_content())[0].replace(",", "")) >= 5)
    row(page, name).locator(".danlu-runs-open").click()
    assert row(page, name).get_by_role("button", name="Resume", exact=True).count() == 0, "it runs"
    server.interrupt()
    wait(page, lambda: state.text_content() == "stopped")
    run = row(page, name).get_attribute("data-run")
    log = runs_folder(server) / run / "log.jsonl"
    before = steps_of(log)

    page.evaluate("() => app.graph.clear()")
    act(page, name, "Resume")
    wait(page, lambda: len(steps_of(log)) > len(before) + 2)
    wait(page, lambda: state.text_content() == "running")
    assert page.evaluate(WIDGET, ["DanluTrainLoRA", "name"]) == name
    assert page.evaluate(TAB) == f"{name} ({run[:8]})", "on a tab of its own"
    server.interrupt()
    wait(page, lambda: not server.get("/queue")["queue_running"])
    steps = steps_of(log)
    assert steps == list(range(1, len(steps) + 1)), "it went on where it was, and no step is there twice"
    assert page.errors == []


def test_curves_over_each_other(page: Any, two_runs: list[str]) -> None:
    open_tab(page)
    curves = page.locator("[data-act=compare]")
    for name in two_runs:
        row(page, name).get_by_role("checkbox").check()
    assert curves.inner_text() == "Curves (2)"
    curves.click()
    page.locator(".danlu-runs-legend button").nth(1).wait_for()
    assert [each.inner_text() for each in page.locator(".danlu-runs-legend button").all()] == sorted(
        two_runs, reverse=True
    )
    wait(page, lambda: painted(page) == {"e0662f", "3b8ee0"}, 30)
    page.locator(".danlu-runs-legend button").first.click()
    wait(page, lambda: painted(page) == {"3b8ee0"}, 30)
    page.keyboard.press("Escape")
    for name in two_runs:
        row(page, name).get_by_role("checkbox").uncheck()
    assert curves.is_disabled() and page.errors == []


def painted(page: Any) -> set[str]:
    """Which of the first two runs' colours are on the chart."""
    return set(
        page.evaluate("""() => {
      const canvas = document.querySelector('.danlu-runs-chart canvas');
      if (!canvas?.width) return [];
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const wanted = { e0662f: 0, '3b8ee0': 0 };
      for (let i = 0; i < data.length; i += 4) {
        const colour = [0, 1, 2].map(k => data[i + k].toString(16).padStart(2, '0')).join('');
        if (colour in wanted) wanted[colour] += 1;
      }
      return Object.keys(wanted).filter(key => wanted[key] > 10);
    }""")
    )


def test_the_graph_of_a_run(page: Any, two_runs: list[str], server: Server) -> None:
    open_tab(page)
    act(page, "short one", "Load workflow")
    page.wait_for_function(f"() => ({WIDGET})(['DanluTrainLoRA', 'steps']) === 12")
    # From the prompt, since no page has queued it.
    wait(page, lambda: page.evaluate(TAB).startswith("short one ("), 30)
    run = row(page, "short two").get_attribute("data-run")
    for kind in ("prompt", "workflow"):
        (runs_folder(server) / run / f"{kind}.json").unlink(missing_ok=True)
    act(page, "short two", "Load workflow")
    page.wait_for_function(f"() => ({WIDGET})(['DanluLoadRun', 'run']) === 'short two ({run[:8]})'")
    assert page.evaluate(WIDGET, ["DanluTrainLoRA", "steps"]) == 12, "beside what is there"
    assert page.errors == []


def test_search_and_sort(page: Any, two_runs: list[str]) -> None:
    open_tab(page)
    row(page, "short one").wait_for()
    search = page.get_by_role("searchbox", name="Search runs")
    search.fill("ONE short")
    wait(page, lambda: page.locator(".danlu-runs-row").count() == 1, 10)
    assert row(page, "short one").count() == 1
    search.fill("short")
    order = page.locator(".danlu-runs-name")
    assert [each.text_content() for each in order.all()] == ["short two", "short one"], "the last used first"
    page.get_by_label("Sort by").select_option("name")
    assert [each.text_content() for each in order.all()] == ["short one", "short two"]
    page.locator(".danlu-runs-open").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert row(page, "short two").get_by_role("button", name="Export").is_visible(), "by keyboard"
    search.fill("")
    page.get_by_label("Sort by").select_option("used")
    assert page.errors == []


def test_export_pin_rename_trash_and_restore(page: Any, two_runs: list[str], server: Server, tmp_path: Path) -> None:
    name = "short one"
    open_tab(page)
    run = row(page, name).get_attribute("data-run")
    folder = runs_folder(server) / run
    with page.expect_download() as told:
        act(page, name, "Export")
    told.value.save_as(tmp_path / "run.zip")
    with zipfile.ZipFile(tmp_path / "run.zip") as archive:
        assert {"manifest.json", "log.jsonl", "checkpoints/000012.safetensors"} <= set(archive.namelist())
    page.get_by_text(f"output/danlu/short one-{run[:8]}.zip").wait_for()

    act(page, name, "Pin")
    row(page, name).get_by_role("button", name="Unpin", exact=True).wait_for()
    assert (folder / "pinned").exists()
    assert row(page, name).get_by_role("button", name="Move to trash").count() == 0, "a pinned run stays"
    act(page, name, "Unpin")
    row(page, name).get_by_role("button", name="Pin", exact=True).wait_for()
    assert not (folder / "pinned").exists()

    act(page, name, "Rename")
    page.get_by_role("textbox", name="Name").fill("<b>other</b>")
    page.keyboard.press("Enter")
    page.get_by_text("must be a plain name").wait_for()
    page.get_by_role("textbox", name="Name").fill("另一个")
    page.keyboard.press("Enter")
    row(page, "另一个").wait_for()

    act(page, "另一个", "Move to trash")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert folder.exists()
    act(page, "另一个", "Move to trash")
    page.get_by_role("dialog").get_by_role("button", name="Move to trash").click()
    row(page, "另一个").wait_for(state="detached")
    assert not folder.exists()
    page.get_by_role("button", name="Undo").click()
    row(page, "另一个").wait_for()
    assert folder.exists()

    act(page, "另一个", "Move to trash")
    page.get_by_role("dialog").get_by_role("button", name="Move to trash").click()
    row(page, "另一个").wait_for(state="detached")
    page.get_by_role("button", name="Trash (").click()
    page.get_by_role("dialog").get_by_role("button", name="Restore").first.click()
    wait(page, folder.exists, 30)
    page.keyboard.press("Escape")
    row(page, "另一个").wait_for()
    server.post(f"/danlu/runs/{run}/rename", {"name": name})
    (refused,) = page.errors
    assert "status of 400" in refused, "the browser's own line about the name that was no good"


CHINESE = """async () => {
  await app.extensionManager.setting.set('Comfy.Locale', 'zh');
  const tab = app.extensionManager.getSidebarTabs().find(each => each.id === 'danlu-runs');
  const element = document.createElement('div');
  document.body.append(element);
  await tab.render(element);
  await new Promise(resolve => setTimeout(resolve, 1500));
  const text = element.innerText;
  tab.destroy();
  element.remove();
  await app.extensionManager.setting.set('Comfy.Locale', 'en');
  return text;
}"""


def test_in_chinese(page: Any, two_runs: list[str]) -> None:
    text = page.evaluate(CHINESE)
    assert "已完成" in text and "第 12 / 12 步" in text and "最近使用" in text
    assert page.errors == []


MANY = """async count => {
  const { api } = await import('/scripts/api.js');
  const usual = api.fetchApi;
  const runs = Array.from({ length: count }, (_, i) => ({
    id: i.toString(16).padStart(24, '0'), name: `run ${i}`, state: 'finished', why: '', step: 100, steps: 100,
    base: 'a base.safetensors', dataset: 'photos', pictures: 25, best: 80, checkpoints: 10, size: 1e8, used: i,
    pinned: false, imported: false, graph: true, resumable: true, curve: Array.from({ length: 32 }, Math.random),
  }));
  const answer = { runs, size: 1e10, trash: 0 };
  api.fetchApi = (path, options) => path === '/danlu/runs'
    ? Promise.resolve(new Response(JSON.stringify(answer))) : usual.call(api, path, options);
  const tab = app.extensionManager.getSidebarTabs().find(each => each.id === 'danlu-runs');
  const element = document.createElement('div');
  Object.assign(element.style, { position: 'fixed', inset: '0 auto 0 0', width: '320px', overflow: 'auto', zIndex: 9 });
  document.body.append(element);
  const begun = performance.now();
  await tab.render(element);
  while (element.querySelectorAll('li').length < count) await new Promise(resolve => setTimeout(resolve, 10));
  await new Promise(requestAnimationFrame);
  const shown = performance.now() - begun;
  const long = [];
  for (let k = 0; k < 40; k += 1) {
    const start = performance.now();
    element.scrollTop += 700;
    runs[0].step += 1;
    api.dispatchCustomEvent('danlu.step', { run: runs[0].id, step: k, steps: 100, points: [] });
    await new Promise(requestAnimationFrame);
    long.push(performance.now() - start);
  }
  tab.destroy();
  element.remove();
  api.fetchApi = usual;
  return [shown, long.sort((a, b) => a - b)[20]];
}"""


def test_hundreds_of_runs_are_smooth(page: Any) -> None:
    shown, frame = page.evaluate(MANY, 500)
    assert shown < 5000 and frame < 100, f"shown after {shown:.0f} ms, a frame of scrolling {frame:.0f} ms"
    assert page.errors == []
