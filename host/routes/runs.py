"""The runs on disk, for the Runs tab."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .answers import File, get, post
from .request import Request

if TYPE_CHECKING:
    from ...views.runs import Runs


def _runs() -> Runs:
    import folder_paths

    # Late: the pack loads in an instant.
    from ...views.runs import Runs
    from ..paths import runs_folder

    return Runs(runs_folder(), Path(folder_paths.get_output_directory()) / "danlu")


@get("runs")
def listing(_request: Request) -> Any:
    return _runs().listing()


@get("runs/{run}")
def one(request: Request) -> Any:
    return _runs().one(request.path["run"])


@get("runs/{run}/workflow")
def workflow(request: Request) -> Any:
    return _runs().graph(request.path["run"])


@post("runs/{run}/pin")
def pin(request: Request) -> Any:
    return _runs().pin(request.path["run"], request.flag("pinned", default=None))


@post("runs/{run}/rename")
def rename(request: Request) -> Any:
    return _runs().rename(request.path["run"], request.text("name"))


@post("runs/{run}/trash")
def trash(request: Request) -> Any:
    return _runs().trash(request.path["run"])


@get("trash")
def trashed(_request: Request) -> Any:
    return _runs().trashed()


@post("runs/{run}/restore")
def restore(request: Request) -> Any:
    return _runs().restore(request.path["run"], request.text("entry"))


@post("runs/{run}/export")
def export(request: Request) -> Any:
    return _runs().export(request.path["run"])


@get("runs/{run}/archive")
def archive(request: Request) -> Any:
    file = _runs().archive(request.path["run"], request.query.get("file", ""))
    return File(file, {"Content-Disposition": "attachment", "Content-Type": "application/zip"})
