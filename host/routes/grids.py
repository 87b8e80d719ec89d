"""Grids for the pages that show them, and the LoRA of a cell that is worth keeping."""

from __future__ import annotations

from typing import Any

from ...errors import DanluError
from ...views.errors import NotFound
from .answers import Content, Request, get, post

CACHED = {"Cache-Control": "private, max-age=86400"}
"""Pages ask for a picture by its time: another one has another address."""
MOST_SIDE = 4096


def _host() -> Any:
    """Imported when it is asked for: the pack loads in an instant."""
    from .. import grids

    return grids


@get("grids")
def listed(request: Request) -> Any:
    workflow, node = request.query.get("workflow", ""), request.query.get("node", "")
    return {"grids": _host().all_grids().listed(workflow, node)}


@get("grids/{id}")
def state(request: Request) -> Any:
    grids, id = _host(), request.path["id"]
    return grids.all_grids().state(id, grids.live(id))


@get("grids/{id}/cell/{number}")
def picture(request: Request) -> Any:
    side, which = request.number("side", 256, 1, MOST_SIDE), request.number("picture", 0, 0, 10_000)
    body = _host().all_grids().small(request.path["id"], _number(request), which, side)
    return Content(body, "image/jpeg", CACHED)


@get("grids/{id}/cell/{number}/name")
def name(request: Request) -> Any:
    return {"name": _host().suggested_name(request.path["id"], _number(request))}


@post("grids/{id}/cell/{number}/keep")
def keep(request: Request) -> Any:
    kept = _host().keep(request.path["id"], _number(request), _text(request, "name"))
    return {"path": str(kept.path), "name": kept.name, "strength": kept.strength, "already": kept.already}


@post("grids/{id}/cell/{number}/pin")
def pin(request: Request) -> Any:
    pinned = request.body.get("pinned", True)
    if not isinstance(pinned, bool):
        raise DanluError("pinned must be true or false.")
    return {"pinned": _host().all_grids().pin(request.path["id"], _number(request), pinned).pinned}


def _number(request: Request) -> int:
    text = request.path["number"]
    if not (text.isascii() and text.isdecimal() and len(text) < 9):
        raise NotFound("There is no such cell.")
    return int(text)


def _text(request: Request, key: str) -> str:
    found = request.body.get(key, "")
    if not isinstance(found, str):
        raise DanluError(f"{key} must be a text.")
    return found
