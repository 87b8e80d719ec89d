"""What a training that runs tells the pages: small events, and the newest of them to those that open later.

`danlu.run`         a run begins or goes on: `Run`
`danlu.step`        a few times a second: `Run` and `report_of`
`danlu.checkpoint`  `run`, `step`, `validation`
`danlu.end`         `run`
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..training.curves import Points, extremes
from ..training.reporter import RunReport, StepReport
from .server import queued, send, workflow_id

MOST_POINTS = 8
"""Of an event: single losses of the steps since the one before; fast steps are many."""

_lock = threading.Lock()
_now: dict[str, Any] | None = None


@dataclass(frozen=True)
class Run:
    """What trains, and which node of which graph shows it."""

    run: str
    """Its id."""
    name: str
    known: bool
    """Whether it has a log already."""
    node: str
    """As the user's graph has it: "12:5" is node 5 in the subgraph of node 12."""
    prompt: str
    workflow: str
    """The id that the front end gave the graph; empty where a program has queued it."""
    steps: int
    """Up to which it is trained, by this node or the loop that it belongs to."""


@dataclass
class Live:
    """Tells of one run while it is trained. Costs a step that is not told no more than a line in a list."""

    run: Run
    _points: list[tuple[int, float, float]] = field(default_factory=list)

    def begin(self) -> None:
        _keep(asdict(self.run))
        send("danlu.run", asdict(self.run))

    def note(self, report: StepReport) -> None:
        """After each step."""
        self._points.append((report.step, report.loss, report.smoothed))

    def tell(self, report: StepReport, memory: str) -> None:
        """A few times a second."""
        event = {**asdict(self.run), **report_of(report, self.run.steps), "memory": memory}
        _keep(event)
        points = extremes(self._points, MOST_POINTS, lambda point: point[1])
        send("danlu.step", {**event, "points": points})
        self._points.clear()

    def checkpoint(self, step: int, validation: Mapping[str, Points]) -> None:
        send("danlu.checkpoint", {"run": self.run.run, "step": step, "validation": dict(validation)})

    def end(self) -> None:
        _keep(None)
        send("danlu.end", {"run": self.run.run})


def now() -> dict[str, Any] | None:
    """The run that is trained and its newest report; None: none is."""
    with _lock:
        return _now


def report_of(report: StepReport, goal: int) -> dict[str, Any]:
    """Seconds; `left`: of training up to `goal`, which may be more than this node's own steps."""
    return {
        "step": report.step,
        "loss": report.loss,
        "smoothed": report.smoothed,
        "rate": report.learning_rate,
        "seconds": report.seconds_per_step,
        "left": report.seconds_left + report.seconds_per_step * max(0, goal - report.steps),
    }


def live_run(run: RunReport, node: str) -> Live:
    """`node`: the user's. What runs now is taken from the host's queue."""
    prompt, workflow = _running()
    return Live(Run(run.run, run.name, run.known, node, prompt, workflow, run.steps))


def _running() -> tuple[str, str]:
    """(prompt's id, its workflow's id)"""
    running, _ = queued()
    if len(running) != 1:
        return "", ""
    _, prompt, _, extra, *_ = running[0]
    return str(prompt), workflow_id(extra.get("extra_pnginfo"))


def _keep(event: dict[str, Any] | None) -> None:
    global _now
    with _lock:
        _now = event
