"""What the scripts share that take pictures of the front end: options, a host with a browser, how a picture is kept."""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from .front_end import chromium
from .server import Client, HostProcess

log = logging.getLogger(__name__)

REPOSITORY = Path(__file__).resolve().parent.parent
TEMPLATES, DOCS = REPOSITORY / "workflows", REPOSITORY / "docs"
QUALITY = 85
"""JPEG's."""
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "renderer": {"choices": ("canvas", "nodes2"), "default": "canvas"},
    "theme": {"choices": ("dark", "light"), "default": "dark"},
    "width": {"type": int, "default": 1280, "help": "of the page, in pixels (default: %(default)s)"},
}
"""What a script can let people choose, beside its folder."""


def parser_of(script: str, about: str | None, output: Path, *options: str) -> argparse.ArgumentParser:
    """For the script `demo.<script>` with the docstring `about`; what it does is told in the terminal from here on."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog=f"demo.{script}", description=(about or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=output, help="folder for the pictures (default: %(default)s)")
    for name in options:
        parser.add_argument(f"--{name}", **OPTIONS[name])
    return parser


@contextmanager
def staged(*fill: Callable[[Path], None], settings: Mapping[str, Any]) -> Iterator[tuple[Client, Any]]:
    """A host with Danlu, its client, and a Chromium. `fill` puts things into the host's own folder before it starts,
    `settings` are its front end's."""
    with tempfile.TemporaryDirectory(prefix="danlu-pictures-") as folder:
        base = Path(folder)
        for put in fill:
            put(base)
        host = HostProcess(Path(os.environ["DANLU_COMFYUI"]), base, packs={"danlu": REPOSITORY})
        with host, Client(host.url) as client, chromium() as browser:
            for name, value in settings.items():
                client.set_setting(name, value)
            yield client, browser


def template(name: str) -> dict[str, Any]:
    """One of the workflows that come with Danlu."""
    return json.loads((TEMPLATES / f"{name}.json").read_text(encoding="utf-8"))


def viewport(width: int) -> tuple[int, int]:
    """A page of this width, with the shape of a window."""
    return width, round(width * 0.62)


def shot(shown: Any, **how: Any) -> Image.Image:
    """`shown` is a page or a part of one; `how` is Playwright's."""
    return Image.open(io.BytesIO(shown.screenshot(**how))).convert("RGB")


def save(picture: Image.Image, path: Path, quality: int = QUALITY, **how: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=quality, **how)
    log.info("%s", path)


def save_settled(page: Any, shown: Any, path: Path) -> None:
    """`shown`, which is `page` or a part of it, after time for what still moves and loads."""
    page.wait_for_timeout(2000)
    save(shot(shown), path)
