"""Fixtures with the real front end in a Chromium; a conftest takes them by importing them from here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from danlu.demo.front_end import chromium, open_page
from danlu.tests.server import Server

RENDERERS = ("canvas", "nodes2")
_browsers: list[Any] = []


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for the whole session, however many conftests take this fixture."""
    if _browsers:
        yield _browsers[0]
        return
    with chromium() as running:
        _browsers.append(running)
        yield running
        _browsers.clear()


@pytest.fixture(params=RENDERERS)
def page(request: pytest.FixtureRequest, browser: Any, server: Server) -> Iterator[Any]:
    """The front end with an empty graph; `page.errors` collects what went wrong in it."""
    with open_page(server, browser, request.param) as opened:
        yield opened


@pytest.fixture(scope="session")
def template_models(server: Server, comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Small random models and pictures under the names that the template workflows ask for."""
    if (server.base / "input" / "danlu-demo").exists():
        return  # another conftest took this fixture before
    from danlu.demo.edit_pairs import draw_pairs
    from danlu.demo.host_setup import add_host
    from danlu.demo.install import CLIP, EDIT, FLUX, PREFIX, REGULARISATION, VAE, test_picture
    from danlu.demo.real_templates import list_only
    from danlu.demo.seeded_clip import write_clip

    add_host(str(comfyui))
    from danlu.tests.factory import model_file

    made = tmp_path_factory.getbasetemp() / "template-models"
    server.put(model_file(made, "flux"), f"models/diffusion_models/{PREFIX}/{FLUX}")
    server.put(model_file(made, "vae16"), f"models/vae/{PREFIX}/{VAE}")
    server.put(write_clip(made / CLIP), f"models/text_encoders/{PREFIX}/{CLIP}")
    # These are only listed, never loaded.
    list_only(server.base)
    (made / "empty").touch()
    server.put(made / "empty", "models/checkpoints/v1-5-pruned-emaonly-fp16.safetensors")
    for folder in (PREFIX, REGULARISATION):
        _write_pictures(server.base / "input" / folder)
    for number, pair in enumerate(draw_pairs(4)):
        for side, picture in zip(("before", "after"), pair, strict=True):
            (server.base / "input" / EDIT / side).mkdir(parents=True, exist_ok=True)
            picture.save(server.base / "input" / EDIT / side / f"{number}.png")
            picture.save(server.base / "input" / test_picture(side))


def write_loras(server: Server, name: str) -> None:
    """Two small LoRA files for the model of the templates, dantong_000001 and dantong_000002, in a folder of LoRAs."""
    import numpy as np
    import torch
    from safetensors.torch import save_file

    folder = server.base / "models" / "loras" / name
    folder.mkdir(parents=True, exist_ok=True)
    stem = "diffusion_model.double_blocks.0.img_attn.qkv"
    for number in (1, 2):
        random = np.random.RandomState(number)
        up, down = (torch.from_numpy(random.randn(*shape).astype(np.float32)) for shape in ((768, 4), (4, 256)))
        tensors = {f"{stem}.lora_up.weight": up, f"{stem}.lora_down.weight": down}
        save_file(tensors, folder / f"dantong_{number:06}.safetensors")


def _write_pictures(folder: Path) -> None:
    from PIL import Image

    folder.mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (128, 128), (60 * number, 100, 50)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("a small [trigger]", encoding="utf-8")
