"""Datasets that nodes have given, for the page that shows and edits them; see views/dataset for what the answers hold.

POST datasets/open                       opens what Load Dataset would load with these inputs
GET  datasets/{id}                       the whole in short
GET  datasets/{id}/pictures?from=&count=&order=&search=&tag=&only=&numbers=
GET  datasets/{id}/thumb/{n}?side=&which=&v=    a small JPEG
GET  datasets/{id}/image/{n}?which=&v=          the picture in full size
GET  datasets/{id}/tags?kind=
GET  datasets/{id}/trainer?resolution=&bucket_step=&upscale_small=&native=&tokenizers=&bucket=&from=&count=, or &n=
GET  datasets/{id}/faces/{n}?detector=&margin=&min_size=&count=
GET  datasets/{id}/dropped, datasets/{id}/dropped/{key}/thumb
POST datasets/{id}/captions              {edits: [{n, body, was}]}
POST datasets/{id}/replace               {find, replace, regex, whole_tags, case, only, apply, plan}
POST datasets/{id}/tags                  {op, tags, new, place, only, apply, plan}
POST datasets/{id}/undo                  {run, apply}
POST datasets/{id}/drop, datasets/{id}/restore  {ns}, {names}

What changes captions goes by the protocol of Save Captions (Danlu). `apply` does what a dry run has shown, whose `plan`
it names; where something has changed in between, it is refused (409) with nothing written.
"""

from __future__ import annotations

import threading
from typing import Any

from ...errors import DanluError
from ...views.dataset import dropping, looks, pages, tag_table
from ...views.dataset.open import Opened, store
from ...views.dataset.saving import Edit, edit_captions
from ...views.dataset.undoing import undo as undone
from ...views.errors import Busy
from ..datasets import checked_request, load
from ..folders import caption_places
from .answers import Content, File, get, post
from .request import Request, as_text, as_whole

FOR_GOOD = "private, max-age=31536000, immutable"
"""An address with a version in it always means the same bytes."""
MOST = pages.MOST_PICTURES
PATIENCE = 20.0
"""Seconds for which a request may hold one of the threads that all share."""
_loading = threading.Lock()


@post("datasets/open")
def open_(request: Request) -> Any:
    inputs = request.body.get("inputs", request.body)
    if not isinstance(inputs, dict):
        raise DanluError("inputs must be an object: the node's own inputs by name")
    wanted = checked_request(inputs)
    if not _loading.acquire(timeout=PATIENCE):
        raise Busy("Another dataset is being read. Try again when that has ended.")
    try:  # somebody who clicks twice has it read from disk once
        opened = store.put(load(wanted))
    finally:
        _loading.release()
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


@get("datasets/{id}/trainer")
def trainer(request: Request) -> Any:
    from ...views.dataset.trainer import AUTO_RESOLUTION, MOST, Training, trainer_view  # imports torch
    from ..tokens import TOKENIZERS, known_counter

    query = request.query
    training = Training(
        query.get("resolution", "") or "auto",
        request.number("bucket_step", 64, 8, 512),
        query.get("upscale_small", "") in ("1", "true"),
        request.number("native", AUTO_RESOLUTION, 64, 4096),
    )
    names = [name for name in query.get("tokenizers", TOKENIZERS[0]).split(",") if name]
    counters = {name: known_counter(name) for name in names[: len(TOKENIZERS)]}
    start, count = request.number("from", 0, 0, pages.MOST_PICTURES), request.number("count", 100, 0, MOST)
    opened = _opened(request)
    if query.get("n"):
        start, count = opened.place(request.number("n", 0, 0, pages.MOST_PICTURES)), 1
    answer = trainer_view(opened, training, start, count, counters, query.get("bucket", ""))
    return {**answer, "tokenizers": list(TOKENIZERS)}


@get("datasets/{id}/faces/{n}")
def faces_of(request: Request) -> Any:
    from ...views.dataset.faces import PLAIN, faces

    margin = request.query.get("margin", "") or str(PLAIN[0])
    try:
        share = float(margin)
    except ValueError:
        raise DanluError(f"margin must be a number, not {margin!r}.") from None
    size, count = request.number("min_size", PLAIN[1], 16, 4096), request.number("count", PLAIN[2], 1, 20)
    return faces(_opened(request), _n(request), request.query.get("detector", "") or "photo", share, size, count)


@post("datasets/{id}/captions")
def captions(request: Request) -> Any:
    edits = [_edit(value) for value in request.values("edits")]
    return edit_captions(_opened(request), edits, caption_places())


@post("datasets/{id}/replace")
def replace(request: Request) -> Any:
    from ...views.dataset.changes import replacing

    opened = _opened(request)
    flags = [request.flag(name) for name in ("regex", "whole_tags", "case")]
    return _changed(request, opened, replacing(opened, request.text("find"), request.text("replace"), *flags))


@post("datasets/{id}/tags")
def change_tags(request: Request) -> Any:
    from ...views.dataset.changes import tag_change

    opened = _opened(request)
    op, tags, new, place = map(request.text, ("op", "tags", "new", "place"))
    return _changed(request, opened, tag_change(opened, op, tags, new, place or "end"))


@post("datasets/{id}/undo")
def undo(request: Request) -> Any:
    return undone(_opened(request), request.text("run"), request.flag("apply"), caption_places())


@post("datasets/{id}/drop")
def drop(request: Request) -> Any:
    numbers = [as_whole(value, "ns") for value in request.values("ns")]
    return dropping.drop(_opened(request), numbers, caption_places())


@post("datasets/{id}/restore")
def restore(request: Request) -> Any:
    names = [as_text(value, "names") for value in request.values("names")]
    return dropping.restore(_opened(request), names, caption_places())


@get("datasets/{id}/dropped")
def dropped(request: Request) -> Any:
    return dropping.dropped(_opened(request))


@get("datasets/{id}/dropped/{key}/thumb")
def dropped_thumb(request: Request) -> Any:
    side = request.number("side", 256, looks.SIDES[0], looks.SIDES[-1])
    return _shown(request, dropping.dropped_thumbnail(_opened(request), request.path["key"], side))


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
    return request.index("n", "picture")


def _shown(request: Request, shown: looks.Shown) -> File | Content:
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": FOR_GOOD if request.query.get("v") else "no-cache"}
    if shown.file is not None:
        return File(shown.file, {**headers, "Content-Type": shown.kind})
    return Content(shown.content, shown.kind, headers)


def _changed(request: Request, opened: Opened, change: Any) -> Any:
    """A dry run, or what one has shown."""
    from ...views.dataset.changes import apply, plan, told

    only = None
    if request.body.get("only") is not None:
        only = {as_whole(value, "only") for value in request.values("only")}
    if not request.flag("apply"):
        return told(opened, plan(opened, change, only, caption_places()))
    return apply(opened, change, only, caption_places(), request.text("plan"))


def _edit(value: Any) -> Edit:
    if not isinstance(value, dict):
        raise DanluError("edits must be a list of objects with n, body and was.")
    return Edit(as_whole(value.get("n"), "n"), as_text(value.get("body"), "body"), as_text(value.get("was", ""), "was"))
