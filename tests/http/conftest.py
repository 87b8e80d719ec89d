"""A real server with small random models and a folder of pictures in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from danlu.tests.plugin_server import own_server, server  # noqa: F401
from danlu.tests.server import REPOSITORY, Server

MODELS = {
    "models/diffusion_models/tiny/flux.safetensors": "flux",
    "models/diffusion_models/tiny/sd15.safetensors": "sd15",
    "models/vae/tiny/16.safetensors": "vae16",
    "models/vae/tiny/4.safetensors": "vae4",
    "models/text_encoders/tiny/clip.safetensors": "clip",
}


@pytest.fixture(scope="session")
def studio(server: Server, comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> Server:  # noqa: F811
    """The server, ready to train: models under `tiny/`, pictures in `input/pics`."""
    folder = tmp_path_factory.mktemp("tiny")
    # Made in a process of its own: this one must not import the host's modules.
    maker = REPOSITORY / "tests" / "http" / "make_models.py"
    subprocess.run([sys.executable, str(maker), str(comfyui), str(folder)], check=True)
    for place, kind in MODELS.items():
        if not (server.base / place).exists():
            server.put(folder / f"{kind}.safetensors", place)
    add_pictures(server.base / "input" / "pics", 4)
    return server


def add_pictures(folder: Path, count: int, side: int = 64) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        pixels = np.random.RandomState(i).randint(0, 255, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(f"a thing, number {i}", encoding="utf-8")
