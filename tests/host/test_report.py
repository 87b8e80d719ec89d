"""What a running training sends to its node: few lines, the right ones, and what memory is in use."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import comfy.model_management as management
import comfy.utils
import comfy_execution.progress
import pytest
import torch
from PIL import Image

from danlu.host import memory, report
from danlu.host.report import NodeReporter
from danlu.training.reporter import StepReport


@dataclass
class Socket:
    """Counts what is sent."""

    texts: list[tuple[str, str]] = field(default_factory=list)
    bars: list[tuple[int, int, Any]] = field(default_factory=list)

    def send_progress_text(self, text: str, node_id: str) -> None:
        self.texts.append((text, node_id))

    def bar(self, value: int, total: int, preview: Any, node_id: str | None = None) -> None:
        management.throw_exception_if_processing_interrupted()
        self.bars.append((value, total, preview))


@pytest.fixture
def socket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Socket]:
    from server import PromptServer

    made = Socket()
    monkeypatch.setattr(PromptServer, "instance", made, raising=False)
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", made.bar)
    yield made
    management.interrupt_current_processing(False)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be moved by hand."""
    clock = [100.0]
    monkeypatch.setattr(report, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    return clock


def step(number: int, steps: int = 1000) -> StepReport:
    return StepReport(number, steps, 0.51234, 1e-4, 0.25, 200.0, 0.49876)


def test_a_line_says_it_all(socket: Socket) -> None:
    NodeReporter("7", torch.device("cpu")).step(step(1200, 2000))
    ((text, node),) = socket.texts
    shown, ram = text.rsplit(" · ", 1)
    assert shown == "step 1,200 / 2,000 · loss 0.5123, average 0.4988 · 4.0 steps/s · 3 min 20 s left"
    assert ram.startswith("RAM ") and node == "7"
    assert [(value, total) for value, total, _ in socket.bars] == [(1200, 2000)]


def test_few_lines_a_second_and_always_the_last(socket: Socket, now: list[float]) -> None:
    reporter = NodeReporter("7")
    for number in range(1, 1001):
        reporter.step(step(number))
        now[0] += 0.01
    shown = [int(text.split()[1].replace(",", "")) for text, _ in socket.texts]
    assert shown[0] == 1 and shown[-1] == 1000
    assert len(shown) <= 10 / report.INTERVAL + 2 and len(socket.bars) <= len(shown)
    assert max(b - a for a, b in zip(shown, shown[1:], strict=False)) <= 26, "and no pause in between"


def test_a_step_of_five_milliseconds_is_not_slowed_by_a_hundredth(socket: Socket) -> None:
    reporter = NodeReporter("7", torch.device("cpu"))
    spent = []
    for _ in range(5):  # the best of some, in its own processor time: other programs are busy too
        began = time.thread_time()
        for number in range(1, 401):
            reporter.step(step(number))
        spent.append((time.thread_time() - began) / 400)
    assert min(spent) < 0.01 * 0.005
    # With its lines: at most so many a second, each of so many seconds.
    began = time.thread_time()
    reporter._next_line = 0.0
    reporter.step(step(401))
    assert (time.thread_time() - began) / report.INTERVAL < 0.01


def test_an_interrupt_shows_the_step_it_stopped_at(socket: Socket, now: list[float]) -> None:
    reporter = NodeReporter("7")
    reporter.step(step(1))
    reporter.step(step(2))
    reporter.check_interrupt()
    assert len(socket.texts) == 1
    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        reporter.check_interrupt()
    assert socket.texts[-1][0].startswith("step 2 / 1,000")


def test_the_picture_is_the_bars_preview(socket: Socket) -> None:
    reporter, image = NodeReporter("7"), Image.new("RGB", (90, 46))
    reporter.picture(image)
    assert socket.bars == [], "there is no bar before the first step"
    reporter.step(step(3))
    reporter.picture(image)
    assert socket.bars[-1] == (3, 1000, ("JPEG", image, report.PREVIEW_SIDE))


def test_lines_of_an_expanded_node_are_shown_on_the_one_it_came_from(
    socket: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    dynprompt = SimpleNamespace(get_display_node_id=lambda node: {"7.0.0.2": "7"}.get(node, node))
    registry = SimpleNamespace(dynprompt=dynprompt)
    monkeypatch.setattr(comfy_execution.progress, "get_progress_state", lambda: registry)
    NodeReporter("7.0.0.2").text("hello")
    NodeReporter("8").text("hello")
    assert [node for _, node in socket.texts] == ["7", "8"]


def test_memory_of_this_process_and_of_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    gigabytes = 2**30
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=3 * gigabytes))
    with monkeypatch.context() as patched:
        patched.setattr(memory.psutil, "Process", {os.getpid(): process}.__getitem__)
        assert memory.memory_in_use(torch.device("cpu")) == "RAM 3.0 GB"
    # 10 of 24 are free, 3 of which torch keeps.
    monkeypatch.setattr(management, "get_free_memory", lambda _device, torch_free_too: (10 * gigabytes, 3 * gigabytes))
    monkeypatch.setattr(management, "get_total_memory", lambda _device: 24 * gigabytes)
    assert memory.memory_in_use(torch.device("cuda:0")) == "VRAM 17.0 of 24.0 GB"
