"""`dev.py test`: lint, types, tests."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .console import elapsed, say
from .hosts import PACK, Host


@dataclass(frozen=True)
class Stage:
    name: str
    command: Sequence[str]
    folder: Path


@dataclass(frozen=True)
class Outcome:
    name: str
    code: int
    seconds: float

    def line(self) -> str:
        state = "passed" if self.code == 0 else f"FAILED (exit code {self.code})"
        return f"  {self.name:<8} {state:<24} {elapsed(self.seconds)}"


# All tests: file by file in two processes, each with a server and a browser of its own.
ALL = ("-n", "2", "--dist", "loadfile", "--durations", "20")


def stages(host: Host, checkout: Path, base: Path, cache: Path, pytest_arguments: Sequence[str]) -> list[Stage]:
    """mypy runs on the link, since a checkout's folder may have a name that no Python package can have."""
    python, linked = str(host.python), base / "custom_nodes"
    mypy = [
        "mypy",
        "--config-file",
        str(linked / PACK / "pyproject.toml"),
        "--cache-dir",
        str(cache / "mypy"),
        PACK,
    ]
    return [
        Stage("ruff", [python, "-m", "ruff", "check", "."], checkout),
        Stage("mypy", [python, "-m", *mypy], linked),
        Stage("pytest", [python, "-m", "pytest", *(pytest_arguments or ALL)], checkout),
    ]


def run_stages(plan: Sequence[Stage], env: Mapping[str, str]) -> int:
    """All of them, also after a failure: one call tells all that is wrong."""
    outcomes = [_run(stage, env) for stage in plan]
    say("\nsummary")
    for outcome in outcomes:
        say(outcome.line())
    return int(any(outcome.code for outcome in outcomes))


def _run(stage: Stage, env: Mapping[str, str]) -> Outcome:
    say(f"\n== {stage.name}")
    start = time.monotonic()
    code = subprocess.run(list(stage.command), cwd=stage.folder, env=dict(env), stdin=subprocess.DEVNULL).returncode
    return Outcome(stage.name, code, time.monotonic() - start)
