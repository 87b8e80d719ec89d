"""The last training of a run: who asked for it and how far, and how it ended. No part of what the run is.

<run>/session.json       how far it was to go, what people call its base and its data, and how it ended
<run>/workflow.json      the graph that asked for it, as the host's front end keeps it
<run>/prompt.json        the same in the host's API format
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import DanluError
from ..reporter import Paused
from ..writing import write_atomically, write_json

RUNNING, ENDED, STOPPED, FAILED = "running", "ended", "stopped", "failed"
GRAPHS = ("workflow", "prompt")
LARGEST_GRAPH = 4 << 20
"""Bytes: a larger one is not kept."""
LONGEST = 300
"""Letters of a name or a reason."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Origin:
    """Where a request comes from."""

    base: str = ""
    """Name of the base model's file, "" where it is not known."""
    dataset: str = ""
    graphs: Mapping[str, Any] = field(default_factory=dict)
    """`GRAPHS` as JSON, as far as there are any."""


@dataclass(frozen=True)
class Session:
    steps: int
    """The step that it is to reach."""
    state: str = RUNNING
    """A training that was killed leaves "running": only the run's lock says whether it still does."""
    why: str = ""
    """It failed."""
    base: str = ""
    dataset: str = ""
    pictures: int = 0


def read_session(run: Path) -> Session | None:
    """None: the run is of a version before there were any, or it cannot be read."""
    try:
        found = json.loads((run / "session.json").read_text(encoding="utf-8"))
        why, base, dataset = (str(found.get(name, ""))[:LONGEST] for name in ("why", "base", "dataset"))
        return Session(int(found["steps"]), str(found["state"]), why, base, dataset, int(found.get("pictures", 0)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


@contextmanager
def session(run: Path, origin: Origin, steps: int, pictures: int) -> Iterator[None]:
    """A training of the run for the time of the context. Raises OSError where it cannot be noted at its beginning."""
    _keep_graphs(run, origin.graphs)
    noted = Session(steps, base=origin.base[:LONGEST], dataset=origin.dataset[:LONGEST], pictures=pictures)
    _note(run, noted)
    (run / "imported").unlink(missing_ok=True)
    try:
        yield
    except BaseException as error:
        # What the host raises when a user cancels is no Exception.
        if isinstance(error, Exception) and not isinstance(error, Paused):
            told = str(error) if isinstance(error, DanluError) else f"{type(error).__name__}: {error}"
            ended = replace(noted, state=FAILED, why=told[:LONGEST])
        else:
            ended = replace(noted, state=STOPPED)
        _try_to_note(run, ended)
        raise
    _try_to_note(run, replace(noted, state=ENDED))


def mark_imported(run: Path) -> None:
    """Its last training was on another machine, and its graphs are of others."""
    (run / "imported").touch()


def is_imported(run: Path) -> bool:
    return (run / "imported").exists()


def read_graph(run: Path, kind: str) -> dict[str, Any] | None:
    """`kind` of `GRAPHS`; None where there is none that can be read."""
    path = run / f"{kind}.json"
    try:
        if path.stat().st_size > LARGEST_GRAPH:
            return None
        found = json.loads(path.read_bytes())
        json.dumps(found, allow_nan=False)  # else no page could read it
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _note(run: Path, found: Session) -> None:
    write_json(run / "session.json", asdict(found))


def _try_to_note(run: Path, found: Session) -> None:
    """The disk may be full: how it ended is told elsewhere too."""
    try:
        _note(run, found)
    except OSError as error:
        log.warning("How the training ended could not be written to %s: %s", run, error)


def _keep_graphs(run: Path, graphs: Mapping[str, Any]) -> None:
    """Those of an earlier training go: they would tell of other settings."""
    for kind in GRAPHS:
        content = _packed(graphs.get(kind))
        if content is None:
            (run / f"{kind}.json").unlink(missing_ok=True)
        else:
            write_atomically(run / f"{kind}.json", content)


def _packed(graph: Any) -> bytes | None:
    """In its own order, since that of nodes may mean something; None where it cannot be kept."""
    if not graph or not isinstance(graph, dict):
        return None
    try:
        content = json.dumps(graph, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        return None
    return content if len(content) <= LARGEST_GRAPH else None
