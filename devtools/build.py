"""Makes our own host in the cache folder, step by step; any call repairs what an earlier one left undone."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .console import Trouble, say, timed
from .diagnosis import MESSAGES, trouble_from
from .locking import locked
from .places import Pins, Places
from .running import Runner, clean_environment, pip_environment, run_logged
from .source import extract, sha256
from .stamp import Stamp, fingerprint

GB = 1e9


@dataclass(frozen=True)
class Step:
    name: str
    title: str
    fingerprint: str
    present: Callable[[], bool]
    make: Callable[[], None]


def free_space(folder: Path) -> float:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


@dataclass
class Builder:
    places: Places
    requirements: Path
    pins: Pins = field(default_factory=Pins)
    run: Runner = run_logged
    free_space: Callable[[Path], float] = free_space
    python: str = field(default_factory=lambda: getattr(sys, "_base_executable", None) or sys.executable)
    version: tuple[int, int] = sys.version_info[:2]
    _lock: int = -1

    def ensure(self) -> bool:
        """True when something had to be made. Takes milliseconds and no lock when all is there."""
        if not self._pending():
            return False
        try:
            self.places.cache.mkdir(parents=True, exist_ok=True)
            with locked(self.places.lock) as self._lock:
                self._make_all()
        except OSError as error:
            raise Trouble(
                f"{self.places.cache}: {error.strerror or error}. Point DANLU_CACHE to a folder "
                "that can be written to, with enough space."
            ) from error
        return True

    def _make_all(self) -> None:
        pending = self._pending()  # again: whoever held the lock before us may have done it
        if not pending:
            return
        self._check_before(pending)
        say(f"preparing ComfyUI {self.pins.comfyui} in {self.places.cache} (logs: {self.places.logs})")
        stamp = Stamp.read(self.places.stamp)
        for number, step in enumerate(pending, 1):
            stamp.remove(step.name)
            with timed(f"[{number}/{len(pending)}] {step.title}"):
                step.make()
            stamp.enter(step.name, step.fingerprint)
        shutil.rmtree(self.places.temporary, ignore_errors=True)

    def _pending(self) -> list[Step]:
        done = Stamp.read(self.places.stamp).done
        return [step for step in self.steps() if done.get(step.name) != step.fingerprint or not step.present()]

    def _check_before(self, pending: Sequence[Step]) -> None:
        (low, high), names = self.pins.pythons, {step.name for step in pending}
        if "venv" in names and not self.places.python.exists() and not low <= self.version <= high:
            ours, least, most = (".".join(map(str, v)) for v in (self.version, low, high))
            raise Trouble(
                f"Python {least} to {most} is needed to make the environment, this is {ours}. "
                f"Run dev.py with another one, e.g. `python{most} dev.py`."
            )
        site = self.places.site_packages()
        has_torch = site is not None and any(site.glob("torch-*.dist-info"))
        need = self.pins.disk_gb if "torch" in names and not has_torch else 0.5
        free = self.free_space(self.places.cache) / GB
        if free < need:
            raise Trouble(
                f"not enough disk: {self.places.cache} has {free:.1f} GB free, {need:.1f} GB are needed. "
                "Free some space, or point DANLU_CACHE to a larger disk."
            )

    # The plan. Each fingerprint covers those before it: a new torch repeats all that came on top of it.

    def steps(self) -> list[Step]:
        pins, python = self.pins, self.places.python
        own = self.requirements.read_text(encoding="utf-8") if self.requirements.is_file() else ""
        plan: list[tuple[str, str, str, Callable[[], bool], Callable[[], None]]] = [
            ("venv", "a Python environment", " ".join(pins.build), python.exists, self._make_venv),
            ("source", f"ComfyUI {pins.comfyui}", pins.sha256, self._has_tree, self._make_source),
            ("torch", "torch (the largest part)", " ".join(pins.torch), python.exists, self._make_torch),
            ("torchaudio", "torchaudio", pins.torchaudio, python.exists, self._make_torchaudio),
            ("host", "ComfyUI's requirements", "", python.exists, self._make_host),
            ("dev", "test tools", " ".join(pins.dev), python.exists, self._make_dev),
            ("pack", "the pack's requirements", own, python.exists, self._make_pack),
        ]
        steps, chain = [], ""
        for name, title, made_from, present, make in plan:
            chain = fingerprint(chain, name, made_from)
            steps.append(Step(name, title, chain, present, make))
        return steps

    def _has_tree(self) -> bool:
        return (self.places.tree / "main.py").is_file() and (self.places.tree / "requirements.txt").is_file()

    def _make_venv(self) -> None:
        if not self._works():
            shutil.rmtree(self.places.venv, ignore_errors=True)
            self._logged("venv", [self.python, "-m", "venv", str(self.places.venv)], clean_environment())
        self._pip("venv", ["install", *self.pins.build])

    def _works(self) -> bool:
        python, log = self.places.python, self.places.logs / "venv.log"
        return (
            python.exists()
            and self.run([str(python), "-m", "pip", "--version"], log, clean_environment(), [self._lock]) == 0
        )

    def _make_source(self) -> None:
        archive = self.places.downloads / self.pins.archive
        if not archive.is_file() or sha256(archive) != self.pins.sha256:
            self._download(archive)
        extract(archive, self.pins, self.places.tree)

    def _download(self, archive: Path) -> None:
        part = self.places.downloads / "part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        # pip prepares a source distribution by running its setup: the hash must be right before that.
        wanted = part / "wanted.txt"
        wanted.write_text(f"{self.pins.project}=={self.pins.release} --hash=sha256:{self.pins.sha256}\n")
        self._pip(
            "source",
            [
                "download",
                "--no-deps",
                "--no-binary",
                ":all:",
                "--ignore-requires-python",
                "--no-build-isolation",
                "--require-hashes",
                "-d",
                str(part),
                "-r",
                str(wanted),
            ],
        )
        if sha256(part / archive.name) != self.pins.sha256:
            raise Trouble(f"source: {MESSAGES['hash']}")
        os.replace(part / archive.name, archive)
        shutil.rmtree(part, ignore_errors=True)

    def _make_torch(self) -> None:
        self._pip("torch", ["install", *self.pins.torch])

    def _make_torchaudio(self) -> None:
        self._pip("torchaudio", ["install", "--no-deps", self.pins.torchaudio])

    def _make_host(self) -> None:
        lines = (self.places.tree / "requirements.txt").read_text(encoding="utf-8").splitlines()
        rest = [line for line in lines if not re.match(r"(torch|torchvision|torchaudio)\b", line.strip())]
        wanted = self.places.cache / "requirements-host.txt"
        wanted.write_text("\n".join(rest) + "\n", encoding="utf-8")
        self._pip("host", ["install", "-c", self._constraints(), "-r", str(wanted)])

    def _make_dev(self) -> None:
        self._pip("dev", ["install", "-c", self._constraints(), *self.pins.dev])

    def _make_pack(self) -> None:
        if self.requirements.is_file():
            self._pip("pack", ["install", "-c", self._constraints(), "-r", str(self.requirements)])

    def _constraints(self) -> str:
        path = self.places.cache / "constraints.txt"
        path.write_text("\n".join(self.pins.torch) + "\n", encoding="utf-8")
        return str(path)

    def _pip(self, step: str, arguments: Sequence[str]) -> None:
        drop_half_installed(self.places.site_packages())
        command = [str(self.places.python), "-m", "pip", *arguments]
        self._logged(step, command, pip_environment(self.places.temporary))

    def _logged(self, step: str, command: Sequence[str], env: dict[str, str]) -> None:
        log = self.places.logs / f"{step}.log"
        if self.run(command, log, env, [self._lock]) != 0:
            raise trouble_from(log, step, self.pins.disk_gb)


def drop_half_installed(site: Path | None) -> None:
    """pip writes a package's RECORD last, and takes one without it for installed all the same."""
    for folder in site.glob("*.dist-info") if site else ():
        if not (folder / "RECORD").is_file():
            say(f"    {folder.name} was installed in part only; installing it again")
            shutil.rmtree(folder)
    for leftover in site.glob("~*") if site else ():
        shutil.rmtree(leftover, ignore_errors=True)
