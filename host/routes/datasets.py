"""Datasets that nodes have given, for the page that shows and edits them; see views/dataset for what the answers hold.

POST datasets/open                       opens what Load Dataset would load with these inputs
GET  datasets/{id}                       the whole in short
GET  datasets/{id}/pictures?from=&count=&order=&search=&tag=&only=&numbers=
GET  datasets/{id}/thumb/{n}?side=&which=&v=    a small JPEG
GET  datasets/{id}/image/{n}?which=&v=          the picture in full size
GET  datasets/{id}/tags?kind=
"""

from __future__ import annotations

import threading
from typing import Any

from ...errors import DanluError
from ...views.dataset import looks, pages, tag_table
from ...views.dataset.open import Opened, store
from ...views.errors import NotFound
from ..datasets import checked_request, load
from ..folders import caption_places
from .answers import Content, File, Request, get, post

FOR_GOOD = "private, max-age=31536000, immutable"
"""An address with a version in it always means the same bytes."""
MOST = 10_000_000
"""Pictures that anybody has."""
_loading = threading.Lock()


@post("datasets/open")
def open_(request: Request) -> Any:
    inputs = request.body.get("inputs", request.body)
    if not isinstance(inputs, dict):
        raise DanluError("inputs must be an object: the node's own inputs by name")
    wanted = checked_request(inputs)
    with _loading:  # somebody who clicks twice has it read from disk once
        opened = store.put(load(wanted))
    return pages.summary(opened, caption_places())


@get("datasets/{id}")
def summary(request: Request) -> Any:
    return pages.summary(_opened(request), caption_places())


@get("datasets/{id}/pictures")
def pictures(request: Request) -> Any:
    query = request.query
    wanted = pages.Wanted(
        request.number("from", 0, 0, MOST),
        request.number("count", 100, 0, pages.MOST),
        query.get("order", "") or "given",
        query.get("search", ""),
        query.get("tag", ""),
        query.get("only", "") or "all",
        query.get("numbers", "") in ("1", "true"),
    )
    return pages.page(_opened(request), wanted, caption_places())


@get("datasets/{id}/tags")
def tags(request: Request) -> Any:
    return tag_table.tag_table(_opened(request), request.query.get("kind", ""))


@get("datasets/{id}/thumb/{n}")
def thumb(request: Request) -> Any:
    side = request.number("side", 256, looks.SIDES[0], looks.SIDES[-1])
    which = request.query.get("which", "") or "picture"
    return _shown(request, looks.thumbnail(_opened(request), _n(request), side, which))


@get("datasets/{id}/image/{n}")
def image(request: Request) -> Any:
    which = request.query.get("which", "") or "picture"
    return _shown(request, looks.whole(_opened(request), _n(request), which))


def _opened(request: Request) -> Opened:
    return store.get(request.path["id"])


def _n(request: Request) -> int:
    text = request.path["n"]
    if not text.isascii() or not text.isdigit() or len(text) > len(str(MOST)):
        raise NotFound(f"there is no picture {text[:20]!r}")
    return int(text)


def _shown(request: Request, shown: looks.Shown) -> File | Content:
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": FOR_GOOD if request.query.get("v") else "no-cache"}
    if shown.file is not None:
        return File(shown.file, {**headers, "Content-Type": shown.kind})
    return Content(shown.content, shown.kind, headers)
