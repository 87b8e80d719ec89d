"""Pictures of the Runs tab for the docs: a few short trainings of the bundled demo, as the real front end lists them.

    python -m demo.run_pictures [--output FOLDER] [--renderer nodes2] [--theme light] [--width 2560]

Needs Playwright and a Chromium, as the browser tests do. Takes a few minutes.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .front_end import open_page
from .install import install
from .server import Client, ServerError
from .staging import DOCS, parser_of, save_settled, staged, template
from .workflow import to_api

log = logging.getLogger(__name__)

WORKFLOW = "Train a LoRA"
HEIGHT = 760
"""Of the page, in pixels."""
STEPS = 60
RUNS: Mapping[str, Mapping[str, Any]] = {
    "dantong": {"training": {"learning_rate": 1e-3}},
    "dantong_slow": {"training": {"learning_rate": 2e-4}},
    "dantong_rank_4": {"training": {"learning_rate": 1e-3}, "lora": {"rank": 4}},
    "dantong_longer": {"training": {"learning_rate": 5e-4}, "steps": 4 * STEPS, "stop": STEPS // 2},
}
"""Name -> what is set on the config nodes, and where it is cancelled."""


def trained(client: Client, name: str, wanted: Mapping[str, Any]) -> None:
    """One of `RUNS`, by the bundled workflow."""
    workflow = template(WORKFLOW)
    graph = to_api(workflow, client.get("/object_info"))
    (key,) = (key for key, node in graph.items() if node["class_type"] == "DanluTrainLoRA")
    graph[key]["inputs"] |= {"name": name, "steps": wanted.get("steps", STEPS), "save_every": STEPS // 5}
    for node in graph.values():
        if node["class_type"] == "DanluTrainingConfig":
            node["inputs"] |= {
                "validation": "on",
                "batch_size": 1,
                "schedule_steps": 4 * STEPS,
                **wanted.get("training", {}),
            }
        if node["class_type"] == "DanluLoRAConfig":
            node["inputs"] |= wanted.get("lora", {})
    needed = _needed(graph, key)
    since = len(client.messages)
    prompt = client.queue(needed, extra_data={"extra_pnginfo": {"workflow": workflow}})
    if "stop" in wanted:
        client.wait_for(lambda m: m.type == "danlu.step" and m.data["step"] >= wanted["stop"], 1800, since)
        client.interrupt()
    run = client.wait(prompt, 1800, since)
    if not run.ok and "stop" not in wanted:
        raise ServerError(run.explain())


def _needed(graph: Mapping[str, Any], end: str) -> dict[str, Any]:
    """The node `end` and what it needs: no pictures are made."""
    wanted, found = [end], dict[str, Any]()
    while wanted:
        key = wanted.pop()
        found[key] = graph[key]
        wanted += [value[0] for value in graph[key]["inputs"].values() if isinstance(value, list)]
    return found


def take(page: Any, output: Path) -> None:
    page.evaluate("async workflow => { await app.loadGraphData(workflow); }", template(WORKFLOW))
    page.locator(".danlu-runs-tab-button").click()
    rows = page.locator(".danlu-runs-row")
    rows.nth(len(RUNS) - 1).wait_for()
    rows.first.locator(".danlu-runs-open").click()
    for number in range(len(RUNS) - 1):
        rows.nth(number + 1).get_by_role("checkbox").check()
    save_settled(page, page, output / "runs.jpg")
    page.locator("[data-act=compare]").click()
    page.locator(".danlu-runs-legend button").nth(len(RUNS) - 2).wait_for()
    save_settled(page, page, output / "runs-curves.jpg")


def main(arguments: list[str] | None = None) -> int:
    options = parser_of("run_pictures", __doc__, DOCS, "renderer", "theme", "width").parse_args(arguments)
    begun = time.monotonic()
    with staged(install, settings={"Comfy.ColorPalette": options.theme}) as (client, browser):
        for name, wanted in RUNS.items():
            trained(client, name, wanted)
            log.info("%s: %.0f s", name, time.monotonic() - begun)
        with open_page(client, browser, options.renderer, (options.width, HEIGHT)) as page:
            take(page, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
