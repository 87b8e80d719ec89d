"""Grids for the pages that show them, and the LoRA of a cell that is worth keeping."""

from __future__ import annotations

from typing import Any

from .answers import Content, get, post
from .request import Request

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
    body = _host().all_grids().small(request.path["id"], _cell(request), which, side)
    return Content(body, "image/jpeg", CACHED)


@get("grids/{id}/cell/{number}/name")
def name(request: Request) -> Any:
    return {"name": _host().suggested_name(request.path["id"], _cell(request))}


@post("grids/{id}/cell/{number}/keep")
def keep(request: Request) -> Any:
    kept = _host().keep(request.path["id"], _cell(request), request.text("name"))
    return {"path": str(kept.path), "name": kept.name, "strength": kept.strength, "already": kept.already}


@post("grids/{id}/cell/{number}/pin")
def pin(request: Request) -> Any:
    pinned = request.flag("pinned", default=True)
    return {"pinned": _host().all_grids().pin(request.path["id"], _cell(request), pinned).pinned}


def _cell(request: Request) -> int:
    return request.index("number", "cell")
