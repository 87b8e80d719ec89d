"""The reporter that shows training on a node of the host."""

from __future__ import annotations

import comfy.model_management
import comfy.utils

from ..training.reporter import Reporter, StepReport, duration


class NodeReporter(Reporter):
    """Writes a line on the node, moves its progress bar, and raises when the user interrupts."""

    def __init__(self, node_id: str | None, heading: str = "") -> None:
        self.node_id = node_id
        self.heading = heading
        self._bar: comfy.utils.ProgressBar | None = None
        self._total = 0

    def text(self, text: str) -> None:
        from server import PromptServer

        server = getattr(PromptServer, "instance", None)
        if server is not None and self.node_id is not None:
            server.send_progress_text("\n".join(filter(None, (self.heading, text))), self.node_id)

    def progress(self, done: int, total: int) -> None:
        if self._bar is None or self._total != total:
            self._bar, self._total = comfy.utils.ProgressBar(total, node_id=self.node_id), total
        self._bar.update_absolute(done, total)

    def step(self, report: StepReport) -> None:
        self.text(
            f"step {report.step:,} / {report.steps:,} · loss {report.loss:.4f} · "
            f"{_speed(report.seconds_per_step)} · {duration(report.seconds_left)} left"
        )
        self.progress(report.step, report.steps)

    def check_interrupt(self) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()


def _speed(seconds: float) -> str:
    return f"{seconds:.2f} s/step" if seconds >= 1 else f"{1 / max(seconds, 1e-9):.1f} steps/s"
