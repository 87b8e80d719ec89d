"""What a page asks of the training that runs."""

from __future__ import annotations

from typing import Any

from ...training.reporter import Command
from ...views.errors import Busy, NotFound
from .. import commands
from .answers import Request, post


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
