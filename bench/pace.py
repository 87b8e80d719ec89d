"""How a contender takes turns: it stops at the end of every step and waits to be called again.

Lines on the worker's standard output that begin with `@` are its answers, one JSON object each; a line on its
standard input is a call: "go" for one step, anything else (or the end) to stop.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch

POLL_SECONDS = 0.002


class Stopped(BaseException):
    """Ends a contender's training; no `except Exception` on the way takes it for a failure."""


class Pace:
    """Called at the end of every step; measures from the call of "go" to then."""

    def __init__(self, memory: PeakMemory) -> None:
        self.memory = memory
        self._started = 0.0

    def wait(self) -> None:
        if sys.stdin.readline().strip() != "go":
            raise Stopped
        self._started = time.perf_counter()

    def __call__(self) -> None:
        seconds = time.perf_counter() - self._started
        answer(seconds=seconds, peak_bytes=self.memory.extra())
        self.wait()


def answer(**facts: Any) -> None:
    print("@" + json.dumps(facts), flush=True)


class PeakMemory:
    """The most memory that this process has held (RSS) since `start`.

    Linux keeps the peak itself, once it is reset; elsewhere a thread looks every two milliseconds.
    """

    def __init__(self) -> None:
        self._before = 0
        self._peak = 0
        self._kept_by_kernel = False

    def start(self) -> None:
        self._before = self._peak = _resident()
        self._kept_by_kernel = _reset_peak()
        if not self._kept_by_kernel:
            threading.Thread(target=self._watch, daemon=True).start()

    def extra(self) -> int:
        """Bytes above those of `start`."""
        if self._kept_by_kernel:
            self._peak = max(self._peak, _status("VmHWM"))
        return self._peak - self._before

    def _watch(self) -> None:
        while True:
            self._peak = max(self._peak, _resident())
            time.sleep(POLL_SECONDS)


def _resident() -> int:
    import psutil

    return int(psutil.Process(os.getpid()).memory_info().rss)


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _status("VmHWM") > 0
    except OSError:
        return False


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


class TensorMemory:
    """What torch's own allocator hands out on the CPU, exactly: live bytes at their peak and at the end.

    From the profiler's notes of every allocation; a slow and precise companion of the peak of the process.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._steps = 0
        self._profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True)

    def start(self) -> None:
        self._profile.start()

    def __call__(self) -> None:
        self._steps += 1
        if self._steps == self.steps:
            self._profile.stop()
            raise Stopped

    def report(self) -> dict[str, int]:
        """`peak_bytes` over all steps; `resident_bytes` at the end of the last: adapters, gradients, optimizer."""
        profiler = self._profile.profiler
        assert profiler is not None and profiler.kineto_results is not None
        # The raw notes: the profiler's own tables add allocations to the operations around them.
        notes = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
        live = peak = 0
        for note in sorted(notes, key=lambda note: note.start_ns()):
            live += note.nbytes()
            peak = max(peak, live)
        return {"tensor_peak_bytes": peak, "tensor_resident_bytes": live}
