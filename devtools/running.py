"""Running other programs: with their output in a log, or with ours."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from .console import elapsed, say

HEARTBEAT_SECONDS = 30.0
# Settings of the caller's Python and pip that would send packages elsewhere than into our environment.
UNWANTED = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "VIRTUAL_ENV",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
)


class Runner(Protocol):
    """Runs a command to its end with its output in `log`; returns the exit code."""

    def __call__(self, command: Sequence[str], log: Path, env: Mapping[str, str], keep: Sequence[int]) -> int: ...


def run_logged(command: Sequence[str], log: Path, env: Mapping[str, str], keep: Sequence[int] = ()) -> int:
    """The real runner. `keep`: descriptors that the child inherits, so that our lock outlives us with it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=dict(env),
            pass_fds=tuple(keep) if os.name == "posix" else (),
        )
        try:
            return _wait(process)
        except BaseException:
            process.terminate()
            process.wait()
            raise


def _wait(process: subprocess.Popen[bytes]) -> int:
    start = time.monotonic()
    while True:
        try:
            return process.wait(timeout=HEARTBEAT_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"    still at it after {elapsed(time.monotonic() - start)}")


def clean_environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    return {**kept, **more}


def pip_environment(temporary: Path) -> dict[str, str]:
    """Unpacks beside the environment: the system's /tmp is often too small for torch."""
    temporary.mkdir(parents=True, exist_ok=True)
    here = str(temporary)
    return clean_environment(
        PIP_NO_INPUT="1", PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1", TMPDIR=here, TEMP=here, TMP=here
    )


def tail(log: Path, lines: int = 8) -> str:
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
