"""One contender in a process of its own: loads the model, then trains a step whenever it is called."""

from __future__ import annotations

import argparse
import tempfile
import traceback
from pathlib import Path

import torch

from ..demo.host_setup import add_host
from .pace import Pace, PeakMemory, Stopped, TensorMemory, answer
from .scenarios import SCENARIOS, Contender


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenario", required=True)
    parser.add_argument("--contender", required=True, help="by its full name")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--tensor-memory", type=int, default=0, help="steps to follow every allocation, then stop")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    add_host()
    try:
        with tempfile.TemporaryDirectory(prefix="danlu-bench-") as scratch:
            _work(options, Path(scratch))
    except Exception as error:  # the other contenders go on; the table shows what happened
        traceback.print_exc()
        lines = str(error).strip().splitlines()
        answer(error=f"{type(error).__name__}: {lines[0] if lines else ''}")
        return 1
    return 0


def _work(options: argparse.Namespace, scratch: Path) -> None:
    # What a running server has long imported is no cost of training.
    import comfy.samplers  # noqa: F401
    import folder_paths
    import server  # noqa: F401

    from .contenders import RUNNERS, Setup, timed_libraries
    from .models import LAYOUTS, model_file, samples

    folder_paths.set_user_directory(str(scratch / "user"))
    scenario = next(s for s in SCENARIOS if s.name == options.scenario)
    contender: Contender = next(c for c in scenario.contenders if c.name == options.contender)
    layout = LAYOUTS[scenario.model]
    path = model_file(options.models, scenario.model)
    data = samples(layout, scenario.side, scenario.batch)
    runner = RUNNERS[contender.kind](Setup(scenario, contender, layout, data, path, scratch))
    library_seconds = timed_libraries(runner)
    if options.tensor_memory:
        _follow_tensors(runner, options.tensor_memory)
        return
    memory = PeakMemory()
    memory.start()
    pace = Pace(memory)
    answer(ready=True, library_seconds=library_seconds)
    try:
        pace.wait()
        runner.run(pace)
    except Stopped:
        pass


def _follow_tensors(runner, steps: int) -> None:  # noqa: ANN001 - its class needs the host to import
    tensors = TensorMemory(steps)
    tensors.start()
    try:
        runner.run(tensors)
    except Stopped:
        answer(**tensors.report())


if __name__ == "__main__":
    raise SystemExit(main())
