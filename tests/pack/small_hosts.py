"""Small environments that hold what a host holds, at no cost: its packages are linked, not installed again.

A host's folder of links is on the environment's path, so pip sees the packages as installed, and whatever it
installs goes into the environment itself: the packages that are linked to are never written to.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

# What `requirements.txt` brings, and what only our test tools bring: a host has none of it.
NOT_THE_HOSTS = {
    "peft",
    "diffusers",
    "accelerate",
    "pip",
    "pytest",
    "mypy",
    "ruff",
    "playwright",
    "httpx",
    "httpcore",
}

LIST_VERSIONS = """
from importlib.metadata import distributions
for found in distributions():
    print(found.metadata["Name"], found.version)
"""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class SmallHost:
    folder: Path
    paths: Sequence[Path]

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def create(self) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.folder)], check=True)
        (site,) = self.folder.glob("lib/python*/site-packages")
        (site / "host.pth").write_text("".join(f"{path}\n" for path in self.paths), encoding="utf-8")

    def pip(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "pip", "--python", str(self.python), *arguments]
        return _output(command)

    def run(self, code: str) -> str:
        return _output([str(self.python), "-c", code])

    def versions(self) -> dict[str, str]:
        pairs = (line.split() for line in self.run(LIST_VERSIONS).splitlines())
        found: dict[str, str] = {}
        for name, version in pairs:
            found.setdefault(canonical(name), version)  # the first on the path is the one that is imported
        return found


def link_packages(target: Path, without: Iterable[str] = ()) -> Path:
    """Links every package of this environment into `target`, but those that are ours or named."""
    target.mkdir(parents=True)
    left_out = NOT_THE_HOSTS | set(without)
    site = Path(sysconfig.get_paths()["purelib"])
    for distribution in metadata.distributions(path=[str(site)]):
        if canonical(distribution.metadata["Name"]) not in left_out:
            _link_tops(distribution, site, target)
    return target


def _link_tops(distribution: metadata.Distribution, site: Path, target: Path) -> None:
    tops = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
    for top in tops:
        link = target / top
        if (site / top).exists() and not link.exists():
            link.symlink_to(site / top)


def install_apart(folder: Path, *requirements: str) -> Path:
    """Packages into a folder of their own, kept for the next time; complete only under its final name."""
    if folder.is_dir():
        return folder
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    _output([sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(part), *requirements])
    os.replace(part, folder)
    return folder


def _output(command: Sequence[str]) -> str:
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert run.returncode == 0, f"{' '.join(command)}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}"
    return run.stdout
