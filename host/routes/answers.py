"""How Danlu answers over HTTP: handlers are plain functions that take a `Request` and give what becomes JSON.

Every route lies below /danlu/, behind the host's own check of a request's origin, and behind these: a POST comes from a
page of this server or from no page at all, is JSON, and is small. Handlers work in a thread, so that a slow disk never
holds up the host's server.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...errors import DanluError
from ...views.errors import Busy, NotFound
from .request import Request

PREFIX = "/danlu"
LARGEST_BODY = 4 * 1024 * 1024
"""Bytes of a POST: captions and settings, never pictures."""
LONGEST_QUERY = 500
"""Letters of a value in a query: ids, names and numbers."""


@dataclass(frozen=True)
class File:
    """An answer that is a file."""

    path: Path
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Content:
    """An answer that is made as it is asked for, a thumbnail say."""

    body: bytes
    kind: str
    headers: dict[str, str] = field(default_factory=dict)


log = logging.getLogger(__name__)

Handler = Callable[[Request], Any]


def get(path: str) -> Callable[[Handler], Handler]:
    """Registers a handler for GET /danlu/`path`; it answers with a dict, a list, a `File` or a `Content`."""
    return _route("get", path)


def post(path: str) -> Callable[[Handler], Handler]:
    """Registers a handler for POST /danlu/`path` with a JSON object as its body (none: {})."""
    return _route("post", path)


def register(routes: Any) -> None:
    """`routes`: the table of the host's server (`PromptServer.instance.routes`)."""
    for method, path, handler in _routes:
        getattr(routes, method)(f"{PREFIX}/{path}")(_answering(handler, method == "post"))


_routes: list[tuple[str, str, Handler]] = []


def _route(method: str, path: str) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        _routes.append((method, path, handler))
        return handler

    return keep


class _Refused(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def _answering(handler: Handler, has_body: bool) -> Any:
    async def answer(request: Any) -> Any:
        try:
            asked = await _taken(request, has_body)
            return _response(await asyncio.to_thread(_worked, handler, asked))
        except _Refused as refused:
            return _error(refused.status, refused)
        except NotFound as error:
            return _error(404, error)
        except Busy as error:
            return _error(409, error)
        except DanluError as error:
            return _error(400, error)

    return answer


def _worked(handler: Handler, asked: Request) -> Any:
    try:
        return handler(asked)
    except OSError as error:
        log.warning("A page was not answered", exc_info=True)
        why = error.strerror or type(error).__name__
        raise _Refused(500, f"The server's disk says: {why}. More is in ComfyUI's log.") from error


async def _taken(request: Any, has_body: bool) -> Request:
    query = dict(request.query)
    if any(len(value) > LONGEST_QUERY for value in (*query.values(), *request.match_info.values())):
        raise _Refused(414, f"a value of the address is longer than {LONGEST_QUERY} letters")
    if not has_body:
        return Request(dict(request.match_info), query)
    if not _same_origin(request.headers):
        raise _Refused(403, "asked from a page of another server")
    return Request(dict(request.match_info), query, await _json(request))


def _same_origin(headers: Any) -> bool:
    """Programs send neither header; a browser sends them with every POST."""
    if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    try:
        origin = headers.get("Origin")
        return origin is None or urlsplit(origin).netloc.lower() == headers.get("Host", "").lower()
    except ValueError:  # no address at all
        return False


async def _json(request: Any) -> dict[str, Any]:
    if (request.content_length or 0) > LARGEST_BODY:
        raise _Refused(413, f"larger than {LARGEST_BODY:,} bytes")
    # Read in pieces: a body may be larger than it says, or not say how large it is.
    body = bytearray()
    async for piece in request.content.iter_chunked(64 * 1024):
        body += piece
        if len(body) > LARGEST_BODY:
            raise _Refused(413, f"larger than {LARGEST_BODY:,} bytes")
    if not body:
        return {}
    if request.content_type != "application/json":
        raise _Refused(415, "the body must be application/json")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _Refused(400, f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise _Refused(400, "the body must be a JSON object")
    return found


def _response(found: Any) -> Any:
    from aiohttp import web

    if isinstance(found, File):
        return web.FileResponse(found.path, headers=found.headers)
    if isinstance(found, Content):
        return web.Response(body=found.body, content_type=found.kind, headers=found.headers)
    try:
        text = json.dumps(found, allow_nan=False)
    except ValueError as error:
        # No number of ours is worth an answer that browsers cannot read.
        raise DanluError(f"What was asked for cannot be told as JSON: {error}") from error
    return web.Response(text=text, content_type="application/json")


def _error(status: int, error: Exception) -> Any:
    from aiohttp import web

    return web.json_response({"error": str(error)}, status=status)
