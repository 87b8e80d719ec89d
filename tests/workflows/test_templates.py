"""Every template opens in the real front end, is listed with its picture, and says what the server understands."""

from __future__ import annotations

import contextlib
import io
import json
from itertools import combinations, product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image
from playwright.sync_api import TimeoutError

from danlu.demo.workflow import DYNAMIC, VIRTUAL, to_api, widget_values
from danlu.tests.browser.fixtures import RENDERERS, open_page
from danlu.tests.server import Server

from .conftest import TEMPLATES

# Boxes are [left, top, width, height], those of nodes with their titles.
NODES = """() => app.graph.nodes.map(node => ({
  name: node.title, missing: !(node.type in LiteGraph.registered_node_types) || !!node.has_errors,
  box: [node.pos[0], node.pos[1] - LiteGraph.NODE_TITLE_HEIGHT,
    node.size[0], node.size[1] + LiteGraph.NODE_TITLE_HEIGHT],
}))"""
GROUPS = "() => app.graph.groups.map(({ title, pos, size }) => ({ name: title, box: [...pos, ...size] }))"
IS_OPEN = "name => app.extensionManager.workflow.activeWorkflow?.filename === name && app.graph.nodes.length"


def opened(page: Any, name: str) -> list[dict[str, Any]]:
    """The nodes of a template that was chosen in the template browser."""
    for patience in (30_000, 60_000, 120_000):
        page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
        page.get_by_role("dialog").get_by_text("danlu", exact=True).first.click()
        page.get_by_test_id(f"template-workflow-{name}").click()
        # On a busy machine the front end may lay its list out anew under the click, which is then lost.
        with contextlib.suppress(TimeoutError):
            page.wait_for_function(IS_OPEN, arg=name, timeout=patience)
            break
        page.keyboard.press("Escape")
    page.wait_for_timeout(1500)
    assert page.evaluate(IS_OPEN, name), f"{name} does not open"
    return page.evaluate(NODES)


def cover(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether their boxes cover each other."""
    (x, y, w, h), (x2, y2, w2, h2) = one["box"], other["box"]
    return x < x2 + w2 and x2 < x + w and y < y2 + h2 and y2 < y + h


def is_inside(node: dict[str, Any], group: dict[str, Any]) -> bool:
    (x, y, w, h), (x2, y2, w2, h2) = node["box"], group["box"]
    return x2 <= x and x + w <= x2 + w2 and y2 <= y and y + h <= y2 + h2


def overlapping(items: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["name"], other["name"]) for one, other in combinations(items, 2) if cover(one, other)]


def hanging_out(nodes: list[dict[str, Any]], groups: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Nodes that lie in a group in part only, each with that group."""
    pairs = product(nodes, groups)
    return [(node["name"], group["name"]) for node, group in pairs if cover(node, group) and not is_inside(node, group)]


@pytest.mark.parametrize("renderer", RENDERERS)
def test_templates_open_from_the_browser(renderer: str, server: Server, browser: Any, template_models: None) -> None:
    with open_page(server, browser, renderer) as page:
        for template in TEMPLATES:
            nodes = opened(page, template.stem)
            assert len(nodes) == len(json.loads(template.read_text(encoding="utf-8"))["nodes"])
            assert [node["name"] for node in nodes if node["missing"]] == [], template.stem
            assert overlapping(nodes) == [], template.stem
            groups = page.evaluate(GROUPS)
            assert overlapping(groups) == [], template.stem
            assert hanging_out(nodes, groups) == [], template.stem
        assert page.errors == []


def test_a_template_is_listed_with_its_picture(template: Path, server: Server) -> None:
    assert template.stem in server.get("/workflow_templates")["danlu"]
    address = f"/api/workflow_templates/danlu/{quote(template.stem)}"
    assert json.loads(server.request("GET", f"{address}.json")) == json.loads(template.read_text(encoding="utf-8"))
    picture = Image.open(io.BytesIO(server.request("GET", f"{address}.jpg")))
    assert picture.format == "JPEG" and min(picture.size) >= 256


def test_widgets_hold_valid_values(workflow: dict[str, Any], object_info: dict[str, Any]) -> None:
    for node in workflow["nodes"]:
        if node["type"] in VIRTUAL:
            continue
        info = object_info[node["type"]]
        for name, value in widget_values(node, info).items():
            spec = next(group[name] for group in info["input"].values() if name in group)
            assert _is_valid(value, spec), f"{node['type']}.{name} = {value!r}"


def _is_valid(value: Any, spec: list[Any]) -> bool:
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    if isinstance(kind, list) or kind == "COMBO":
        return value in (kind if isinstance(kind, list) else options["options"])
    if kind == DYNAMIC:
        return value in [option["key"] for option in options["options"]]
    if kind in ("INT", "FLOAT"):
        fits = isinstance(value, int) or (kind == "FLOAT" and isinstance(value, float))
        return fits and options.get("min", value) <= value <= options.get("max", value)
    return isinstance(value, {"STRING": str, "BOOLEAN": bool}[kind])


def test_every_widget_is_saved(workflow: dict[str, Any], object_info: dict[str, Any]) -> None:
    """A template older than its nodes works, but shows and explains less than they can do."""
    api = to_api(workflow, object_info)
    for node in workflow["nodes"]:
        if node["type"].startswith("Danlu"):
            inputs = {slot["name"] for slot in node["inputs"]}
            groups = object_info[node["type"]]["input"]
            assert set(groups.get("required", {})) | set(groups.get("optional", {})) == inputs, node["type"]
            assert node["properties"]["cnr_id"] == "danlu" and node["properties"]["ver"]
            assert set(api[str(node["id"])]["inputs"]) <= inputs


def test_the_pack_is_taken_from_the_registry(workflow: dict[str, Any]) -> None:
    """Manager installs what a workflow lacks by these names."""
    packs = {node["properties"].get("cnr_id") for node in workflow["nodes"] if node["type"] not in VIRTUAL}
    assert {"danlu"} <= packs <= {"danlu", "comfy-core"}


def test_nothing_starts_a_new_run_by_itself(workflow: dict[str, Any]) -> None:
    """A seed that changes after each run would train, or render, something else each time."""
    for node in workflow["nodes"]:
        assert "randomize" not in (node.get("widgets_values") or []), node["type"]
