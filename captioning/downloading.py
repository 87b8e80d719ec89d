"""Models from a hub, only when the user has asked for it: told before, stopped at any time, resumed later.

A process of its own does the work (`_download.py`, with huggingface_hub), which an interrupt can end within a file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..errors import DanluError

CHILD = Path(__file__).with_name("_download.py")
PATTERNS = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.jinja", "*.model", "*.csv", "LICENSE*")
"""No program code and nothing pickled."""
POLL = 0.25
PART = ".part"
GIGABYTE = 1e9


class Asker(Protocol):
    """Who looks on; a node's reporter."""

    def text(self, text: str) -> None: ...
    def progress(self, done: int, total: int) -> None: ...
    def check_interrupt(self) -> None: ...


@dataclass(frozen=True)
class Offer:
    """A model that may be downloaded."""

    repository: str
    """`author/name` on the hub."""
    size: int
    """Bytes, about: for people, before the hub is asked."""
    revision: str = "main"

    @property
    def name(self) -> str:
        return self.repository.rpartition("/")[2]

    def told(self, folder: Path) -> str:
        return f"about {self.size / GIGABYTE:.1f} GB from {endpoint()}/{self.repository} into {folder / self.name}"


def endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def download(offer: Offer, folder: Path, watcher: Asker) -> Path:
    """The model's folder below `folder`, whole; a download that was stopped goes on where it was."""
    target = folder / offer.name
    if os.path.lexists(target):
        raise DanluError(
            f"{offer.repository} would be downloaded into {target}, which is there already, but holds no whole model "
            "of this kind. Rename or remove it, then queue again."
        )
    watcher.text(f"Asking {endpoint()} for {offer.repository}")
    request = {"repository": offer.repository, "revision": offer.revision, "patterns": PATTERNS}
    plan = json.loads(_run({"plan": request}, watcher, lambda: None))
    size = sum(length for length, _ in plan["files"].values())
    if not any(name.endswith(".safetensors") for name in plan["files"]):
        raise DanluError(f"{offer.repository} on {endpoint()} has no .safetensors file. Choose another model.")
    part = folder / f"{offer.name}.{plan['revision'][:8]}{PART}"
    folder.mkdir(parents=True, exist_ok=True)
    _check_room(folder, size - _present(part), offer)
    told = f"Downloading {size / GIGABYTE:.2f} GB: {offer.repository} into {target}"
    watcher.text(told)

    def show() -> None:
        done = min(_present(part), size)
        watcher.progress(done, max(1, size))
        watcher.text(f"{told}\n{done / GIGABYTE:.2f} of {size / GIGABYTE:.2f} GB")

    _run({"get": {"repository": offer.repository, **plan, "folder": str(part)}}, watcher, show)
    os.replace(part, target)
    return target


def _run(task: dict[str, Any], watcher: Asker, show: Any) -> str:
    """What the child prints. It is ended when `check_interrupt` raises, as by any other error."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen([sys.executable, str(CHILD), json.dumps(task)], stdout=out, stderr=errors)
        try:
            while child.poll() is None:
                watcher.check_interrupt()
                show()
                time.sleep(POLL)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        out.seek(0)
        errors.seek(0)
        if child.returncode:
            said = [line for line in errors.read().splitlines() if line.strip()]
            raise DanluError(
                f"The download failed: {said[-1] if said else 'no reason given'}. Queue again to go on, or put the "
                "model's folder there by hand."
            )
        return out.read()


def _check_room(folder: Path, needed: int, offer: Offer) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DanluError(
            f"{offer.repository} needs {needed / GIGABYTE:.1f} GB, but the disk of {folder} has {free / GIGABYTE:.1f} "
            "GB left. Make room, or put the model elsewhere (extra_model_paths.yaml) and choose it there."
        )


def _present(part: Path) -> int:
    """Bytes that are there; a file may get its last name between two looks."""
    total = 0
    for path in part.glob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
