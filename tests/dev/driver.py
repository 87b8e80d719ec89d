"""dev.py over a tiny package index, in a process that can be killed: `driver.py SETTINGS_JSON ARGUMENT...`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from devtools.build import Builder
from devtools.cli import main
from devtools.places import Pins
from devtools.running import run_logged


class Killed:
    """The real runner, until the command that this process does not live to see the end of."""

    def __init__(self, at: int, orphan: bool) -> None:
        self.left, self.orphan = at, orphan

    def __call__(self, command: Sequence[str], log: Path, env: Mapping[str, str], keep: Sequence[int]) -> int:
        self.left -= 1
        if self.left:
            return run_logged(command, log, env, keep)
        if self.orphan:
            with log.open("wb") as out:
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, pass_fds=tuple(keep)
                )
        os.kill(os.getpid(), signal.SIGKILL)
        return 1


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    pins = Pins(**{name: tuple(v) if isinstance(v, list) else v for name, v in settings["pins"].items()})
    run = Killed(settings.get("kill_at", 0), settings.get("orphan", False))
    make = partial(Builder, pins=pins, run=run)
    sys.exit(main(sys.argv[2:], checkout=Path(settings["checkout"]), make_builder=make))
