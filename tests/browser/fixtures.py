"""Fixtures with the real front end in a Chromium; a conftest takes them by importing them from here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from danlu.tests.server import Server

READY = """() => window.app?.extensionManager
  && ['DanluLoadDataset', 'DanluTrainLoRA'].every(type => type in LiteGraph.registered_node_types)"""
RENDERERS = ("canvas", "nodes2")
_browsers: list[Any] = []


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for the whole session, however many conftests take this fixture."""
    if _browsers:
        yield _browsers[0]
        return
    from playwright.sync_api import sync_playwright

    program = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    if not program:
        pytest.fail("no Chromium: set CHROMIUM to its program (`python dev.py test` does)", pytrace=False)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        _browsers.append(chromium)
        yield chromium
        _browsers.clear()
        chromium.close()


@pytest.fixture(params=RENDERERS)
def page(request: pytest.FixtureRequest, browser: Any, server: Server) -> Iterator[Any]:
    """The front end with an empty graph; `page.errors` collects what went wrong in it."""
    with open_page(server, browser, request.param) as opened:
        yield opened


@contextmanager
def open_page(server: Server, browser: Any, renderer: str) -> Iterator[Any]:
    server.set_setting("Comfy.TutorialCompleted", True)
    server.set_setting("Comfy.VueNodes.Enabled", renderer == "nodes2")
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    page = context.new_page()
    page.renderer, page.errors = renderer, []
    page.set_default_timeout(120_000)  # machines that test are often busy
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(server.url, wait_until="domcontentloaded")
    page.wait_for_function(READY)
    # The front end restores or opens a workflow of its own; what is done before that is lost.
    page.wait_for_function("() => app.extensionManager.workflow?.activeWorkflow")
    page.wait_for_timeout(2000)
    page.evaluate("() => app.graph.clear()")
    yield page
    context.close()


@pytest.fixture(scope="session")
def template_models(server: Server, comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Small random models and pictures under the names that the template workflows ask for."""
    if (server.base / "input" / "danlu-demo").exists():
        return  # another conftest took this fixture before
    from danlu.demo.host_setup import add_host
    from danlu.demo.install import CLIP, FLUX, PREFIX, VAE
    from danlu.demo.seeded_clip import write_clip

    add_host(str(comfyui))
    from danlu.tests.factory import model_file

    made = tmp_path_factory.getbasetemp() / "template-models"
    server.put(model_file(made, "flux"), f"models/diffusion_models/{PREFIX}/{FLUX}")
    server.put(model_file(made, "vae16"), f"models/vae/{PREFIX}/{VAE}")
    server.put(write_clip(made / CLIP), f"models/text_encoders/{PREFIX}/{CLIP}")
    # This one is only listed, never loaded.
    (made / "empty").touch()
    server.put(made / "empty", "models/checkpoints/v1-5-pruned-emaonly-fp16.safetensors")
    _write_pictures(server.base / "input" / PREFIX)


def _write_pictures(folder: Path) -> None:
    from PIL import Image

    folder.mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (128, 128), (60 * number, 100, 50)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("a small [trigger]", encoding="utf-8")
