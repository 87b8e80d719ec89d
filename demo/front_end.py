"""ComfyUI's real front end in a Chromium: for the browser tests, and for the pictures of the templates."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .server import Client

READY = """() => window.app?.extensionManager
  && ['DanluLoadDataset', 'DanluTrainLoRA'].every(type => type in LiteGraph.registered_node_types)"""
VIEWPORT = (1300, 900)


@contextmanager
def chromium() -> Iterator[Any]:
    """A running Chromium (Playwright's `Browser`); the variable CHROMIUM names its program."""
    from playwright.sync_api import sync_playwright

    program = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    if not program:
        raise RuntimeError("no Chromium: set CHROMIUM to its program (`python dev.py test` does)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def open_page(server: Client, browser: Any, renderer: str, viewport: tuple[int, int] = VIEWPORT) -> Iterator[Any]:
    """The front end with an empty graph, drawn by `canvas` or `nodes2`.

    `page.errors` collects what goes wrong: errors of any code, and what Danlu's files complain of in the console.
    """
    server.set_setting("Comfy.TutorialCompleted", True)
    server.set_setting("Comfy.VueNodes.Enabled", renderer == "nodes2")
    context = browser.new_context(viewport={"width": viewport[0], "height": viewport[1]})
    page = context.new_page()
    page.renderer, page.errors = renderer, []
    page.set_default_timeout(120_000)  # machines that test are often busy
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.extend(_complaints(message)))
    page.goto(server.url, wait_until="domcontentloaded")
    page.wait_for_function(READY)
    # The front end restores or opens a workflow of its own; what is done before that is lost.
    page.wait_for_function("() => app.extensionManager.workflow?.activeWorkflow")
    page.wait_for_timeout(2000)
    page.evaluate("() => app.graph.clear()")
    yield page
    context.close()


def _complaints(message: Any) -> list[str]:
    """A console's line as a list of none or one: warnings and errors that come from Danlu, or are about it."""
    about = f"{message.text} {message.location.get('url', '')}".lower()
    is_ours = "danlu" in about or "resizeobserver" in about
    return [f"{message.type}: {message.text}"] if message.type in ("warning", "error") and is_ours else []
