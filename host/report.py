"""The reporter that shows training on a node of the host."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.utils
import folder_paths
import torch

from ..training.curves import Points
from ..training.reporter import Command, Reporter, RunReport, StepReport, duration
from . import commands
from .live import Live, live_run
from .memory import memory_in_use
from .server import instance

if TYPE_CHECKING:
    from PIL import Image

INTERVAL = 0.25
"""Seconds from one line about a step to the next: fast steps must not wait for the socket."""
PREVIEW_SIDE = 800
TICKS = 1000
"""Of a progress bar."""


class NodeReporter(Reporter):
    """Writes a line on the node, moves its progress bar, and raises when the user interrupts."""

    def __init__(self, node_id: str | None, device: torch.device | None = None) -> None:
        """`device`: the one whose memory is told of."""
        self.node_id = node_id
        self.device = device
        self._bar: comfy.utils.ProgressBar | None = None
        self._total = 0
        self._next_line = 0.0
        self._untold: StepReport | None = None
        self._memory = ""
        self._live: Live | None = None

    def text(self, text: str) -> None:
        server = instance()
        if server is not None and self.node_id is not None:
            server.send_progress_text(text, _shown_as(self.node_id))

    def progress(self, done: int, total: int) -> None:
        """Each one, or about a thousand of many: every one is a message to the browser."""
        if done < total and done % max(1, total // TICKS):
            return
        if self._bar is None or self._total != total:
            self._bar, self._total = comfy.utils.ProgressBar(total, node_id=self.node_id), total
        self._bar.update_absolute(done, total)

    def began(self, run: RunReport) -> None:
        if self.node_id is not None:
            self._live = live_run(run, _shown_as(self.node_id))
            self._live.begin()

    def step(self, report: StepReport) -> None:
        """A few lines a second at the most; the last step always has one."""
        now = time.monotonic()
        if self._live:
            self._live.note(report)
        if now < self._next_line and report.step < report.steps:
            self._untold = report
            return
        self._next_line = now + INTERVAL
        if self.device is not None:
            self._memory = memory_in_use(self.device)
        self._tell(report)
        self.progress(report.step, report.steps)

    def _tell(self, report: StepReport) -> None:
        self._untold = None
        self.text(_line(report, self._memory))
        if self._live:
            self._live.tell(report, self._memory)

    def checkpoint(self, step: int, validation: Mapping[str, Points]) -> None:
        if self._live:
            self._live.checkpoint(step, validation)

    def ended(self) -> None:
        if self._untold:
            self._tell(self._untold)
        if self._live:
            self._live.end()

    def picture(self, image: Image.Image) -> None:
        """As the node's preview: what it works on now."""
        if self._bar is not None:
            self._bar.update_absolute(self._bar.current, preview=("JPEG", image, PREVIEW_SIDE))

    def command(self) -> Command | None:
        return commands.taken()

    def check_interrupt(self) -> None:
        if self._untold and comfy.model_management.processing_interrupted():
            self._tell(self._untold)
        comfy.model_management.throw_exception_if_processing_interrupted()


def preview(image: Image.Image, name: str, kind: str = "png") -> dict[str, str]:
    """Saves a picture in the host's temp folder; what a node's `ui` lists under "images". `kind`: "png", or "jpg" for
    photos, which is several times as fast."""
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    how = {"compress_level": 1} if kind == "png" else {"quality": 88}
    image.save(folder / f"{name}.{kind}", **how)
    return {"filename": f"{name}.{kind}", "subfolder": "", "type": "temp"}


def _shown_as(node_id: str) -> str:
    """The node of the user's graph that stands for one that was expanded from it."""
    from comfy_execution.progress import get_progress_state

    return get_progress_state().dynprompt.get_display_node_id(node_id)


def _line(report: StepReport, memory: str) -> str:
    parts = [
        f"step {report.step:,} / {report.steps:,}",
        f"loss {report.loss:.4f}, average {report.smoothed:.4f}",
        _speed(report.seconds_per_step),
        f"{duration(report.seconds_left)} left",
        memory,
    ]
    return " · ".join(filter(None, parts))


def _speed(seconds: float) -> str:
    return f"{seconds:.2f} s/step" if seconds >= 1 else f"{1 / max(seconds, 1e-9):.1f} steps/s"
