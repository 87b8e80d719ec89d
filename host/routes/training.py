"""What a page asks of the training that runs, and of those that have run."""

from __future__ import annotations

from typing import Any

from ...training.reporter import Command
from ...views.errors import Busy, NotFound
from .. import commands, live
from .answers import get, post
from .request import Request

MOST_POINTS = 4000
LAST_STEP = 10_000_000


@get("train")
def training(_request: Request) -> Any:
    """{"now": what `host.live` tells of the run that is trained, or None}"""
    return {"now": live.now()}


@post("train/{command}")
def command(request: Request) -> Any:
    try:
        asked = Command(request.path["command"])
    except ValueError:
        known = ", ".join(command.value for command in Command)
        raise NotFound(f"unknown command; there are {known}") from None
    if not commands.ask(asked):
        raise Busy("no training runs")
    return {"asked": asked.value}


@get("runs/{run}/log")
def log(request: Request) -> Any:
    """`views.log.run_log`; from=STEP, points=MOST."""
    # Late: the pack loads in an instant.
    from ...views.log import run_log
    from ...views.run_ids import run_of
    from ..paths import runs_folder

    first, most = request.number("from", 0, 0, LAST_STEP), request.number("points", 2000, 10, MOST_POINTS)
    return run_log(run_of(runs_folder(), request.path["run"]), first, most)
