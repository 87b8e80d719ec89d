"""Contenders take turns: in every round each makes one step, so that whatever else the machine does hits all alike."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TextIO

from .scenarios import OURS, Contender, Scenario

WARMUP = 2
"""Rounds that do not count: lazy set-up, first touches of memory."""
MEMORY_STEPS = 2

START = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module(sys.argv.pop(1), run_name='__main__')"


def package_name() -> str:
    """What the pack is called as a package in this process, and in every worker's."""
    return (__package__ or "danlu.bench").rpartition(".")[0]


@dataclass(frozen=True)
class Machine:
    """Where and how workers run. `packages`: the folder that holds the pack as a package."""

    packages: Path
    package: str
    models: Path
    logs: Path
    threads: int

    def command(self, scenario: Scenario, contender: Contender, *more: str) -> list[str]:
        module = f"{self.package}.bench.worker"
        return [
            *(sys.executable, "-c", START, str(self.packages), module, "--scenario", scenario.name),
            *("--contender", contender.name, "--models", str(self.models), "--threads", str(self.threads)),
            *more,
        ]


class Failed(Exception):
    """A contender's own error, for its row of the table."""


def read_answer(lines: Iterable[str], otherwise: str) -> dict[str, Any]:
    """The first answer among the lines that a process prints (`bench.pace.answer`); raises Failed."""
    for line in lines:
        if line.startswith("@"):
            facts: dict[str, Any] = json.loads(line[1:])
            if "error" in facts:
                raise Failed(facts["error"])
            return facts
    raise Failed(otherwise)


class Worker:
    """A contender's process, as `bench.worker` runs it."""

    def __init__(self, machine: Machine, scenario: Scenario, contender: Contender, *more: str) -> None:
        self.contender = contender
        machine.logs.mkdir(parents=True, exist_ok=True)
        self.log = machine.logs / f"{scenario.name}-{contender.name.replace(' ', '')}.log"
        self._err: TextIO = self.log.open("a" if more else "w", encoding="utf-8")
        self._process = subprocess.Popen(
            machine.command(scenario, contender, *more),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._err,
            text=True,
        )

    def answer(self) -> dict[str, Any]:
        """The next answer; raises Failed when there is none to come."""
        assert self._process.stdout
        return read_answer(self._process.stdout, f"ended early; see {self.log}")

    def step(self) -> dict[str, Any]:
        assert self._process.stdin
        with suppress(OSError):  # it may have ended: its answer says why
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        return self.answer()

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if stream:
                    stream.close()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._err.close()


@dataclass
class Measured:
    """What one contender showed. Times in seconds, sizes in bytes."""

    contender: str
    error: str | None = None
    library_seconds: float = 0.0
    """Importing what training needs, in a new process; the host's own imports are done."""
    first_step_seconds: float = 0.0
    """From the queue to the end of the first step, libraries imported, model loaded."""
    seconds: list[float] = field(default_factory=list)
    """A step's, one a round."""
    peak_bytes: int = 0
    """Resident memory of the process at its peak, over that with the model loaded and the libraries imported."""
    tensor_peak_bytes: int = 0
    """The same as torch's allocator counts it."""
    tensor_resident_bytes: int = 0
    """Of these, what outlives a step: adapters, their gradients, optimizer state."""

    @property
    def step_seconds(self) -> float:
        return median(self.seconds) if self.seconds else float("nan")

    @property
    def activation_bytes(self) -> int:
        return self.tensor_peak_bytes - self.tensor_resident_bytes


@dataclass
class Result:
    scenario: Scenario
    rounds: int
    measured: list[Measured]

    def of(self, name: str) -> Measured:
        return next(m for m in self.measured if m.contender == name)

    def time_ratio(self, over: Measured) -> float | None:
        """Ours over `over`: the median of the rounds' ratios."""
        return ratio(self.of(OURS.name).seconds, over.seconds)

    def as_dict(self) -> dict[str, Any]:
        rows = [
            asdict(m)
            | {
                "step_seconds": m.step_seconds if m.seconds else None,
                "activation_bytes": m.activation_bytes,
                "ours_over_this": self.time_ratio(m),
            }
            for m in self.measured
        ]
        return {"scenario": asdict(self.scenario), "rounds": self.rounds, "measured": rows}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Median over rounds of ours / theirs within the round; None where one of them made no step."""
    if not ours or len(ours) != len(theirs):
        return None
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def measure(machine: Machine, scenario: Scenario, rounds: int) -> Result:
    """Speed first, all contenders alive and taking turns; then each one's allocations, alone."""
    measured = {c.name: Measured(c.name) for c in scenario.contenders}
    workers: dict[str, Worker] = {}
    try:
        for contender in scenario.contenders:
            workers[contender.name] = Worker(machine, scenario, contender)
        for found in measured.values():
            _await_start(workers, found)
        for number in range(WARMUP + rounds):
            # Each round begins with another contender: nobody always follows the same neighbour.
            names = list(workers)
            turn = number % max(1, len(names))
            for name in names[turn:] + names[:turn]:
                _step(workers, measured[name], number)
    finally:
        for worker in workers.values():
            worker.close()
    for contender in scenario.contenders:
        if measured[contender.name].error is None:
            _follow_tensors(machine, scenario, contender, measured[contender.name])
    return Result(scenario, rounds, list(measured.values()))


def _await_start(workers: dict[str, Worker], found: Measured) -> None:
    try:
        found.library_seconds = workers[found.contender].answer()["library_seconds"]
    except Failed as failed:
        _drop(workers, found, failed)


def _step(workers: dict[str, Worker], found: Measured, number: int) -> None:
    try:
        answer = workers[found.contender].step()
    except Failed as failed:
        _drop(workers, found, failed)
        return
    found.peak_bytes = max(found.peak_bytes, answer["peak_bytes"])
    if number == 0:
        found.first_step_seconds = answer["seconds"]
    if number >= WARMUP:
        found.seconds.append(answer["seconds"])


def _drop(workers: dict[str, Worker], found: Measured, failed: Failed) -> None:
    found.error, found.seconds = str(failed), []
    workers.pop(found.contender).close()


def _follow_tensors(machine: Machine, scenario: Scenario, contender: Contender, found: Measured) -> None:
    worker = Worker(machine, scenario, contender, "--tensor-memory", str(MEMORY_STEPS))
    try:
        answer = worker.answer()
        found.tensor_peak_bytes = answer["tensor_peak_bytes"]
        found.tensor_resident_bytes = answer["tensor_resident_bytes"]
    except Failed as failed:
        found.error = f"while following allocations: {failed}"
    finally:
        worker.close()
