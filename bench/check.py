"""`dev.py check`: whether training is right on this machine, as text to paste into a bug report.

Small models with random weights; nothing is written outside a temporary folder. Run here on a CPU only: the parts
for graphics cards are careful, and untried.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from .check_worker import MODELS, worst
from .rounds import START, package_name
from .run import about

LIMIT_SECONDS = 300.0
"""For one device in one mode; a process that hangs is ended."""
AGAINST_CPU = 1e-2
"""Largest relative error of a tensor's gradient: another device adds up in another order."""
AGAINST_DIFFERENCES = 2e-2
CHECKPOINTING = 1e-4


@dataclass(frozen=True)
class Mode:
    """A device and options of ComfyUI's command line (without the dashes)."""

    name: str
    device: str
    options: tuple[str, ...] = ()


def modes() -> list[Mode]:
    """The CPU first: the others are compared with it."""
    found = [Mode("cpu", "cpu")]
    device = next((name for name in ("cuda", "xpu", "mps") if _available(name)), None)
    if device:
        found.append(Mode(device, device, ("disable-dynamic-vram",)))
        found.append(Mode(f"{device}, weights offloaded (--novram)", device, ("novram",)))
    return found


def _available(name: str) -> bool:
    module = getattr(torch, name, None) if name != "mps" else getattr(torch.backends, "mps", None)
    return bool(module and module.is_available())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dev.py check", description="Whether training is right on this machine, in under two minutes."
    )
    parser.add_argument("--packages", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    print("Danlu check: paste all of this into a bug report")
    for name, value in about(torch.get_num_threads()).items():
        print(f"  {name}: {value}")
    print(f"  device: {_device_name()}", flush=True)
    start, failures = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="danlu-check-") as scratch:
        for mode in modes():
            failures += _report(mode, _run(mode, Path(scratch), options.packages), Path(scratch))
    print("\nnot covered: DynamicVRAM (the server's own start sets it up), going on with a stopped run")
    print(f"{time.monotonic() - start:.0f} s in all")
    print("FAILED\n" + "\n".join(f"  {failure}" for failure in failures) if failures else "everything is right")
    return int(bool(failures))


def _device_name() -> str:
    if _available("cuda"):
        facts = torch.cuda.get_device_properties(0)
        return f"{facts.name}, {facts.total_memory / 2**30:.0f} GB"
    return next((name for name in ("xpu", "mps") if _available(name)), "none but the CPU")


def _run(mode: Mode, scratch: Path, packages: Path) -> dict[str, dict[str, Any]]:
    """Answers by model; a model without one has its error."""
    command = [sys.executable, "-c", START, str(packages), f"{package_name()}.bench.check_worker"]
    command += ["--device", mode.device, "--scratch", str(scratch), "--gradients", str(_gradients(mode, scratch))]
    command += ["--mode", *mode.options]
    environment = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    log = scratch / "worker.log"
    try:
        with log.open("w", encoding="utf-8") as err:
            ended = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=err, text=True, timeout=LIMIT_SECONDS, env=environment
            )
        answers = [json.loads(line[1:]) for line in ended.stdout.splitlines() if line.startswith("@")]
        missing = f"the process ended with code {ended.returncode}: {_last_lines(log)}"
    except subprocess.TimeoutExpired:
        answers, missing = [], f"no answer within {LIMIT_SECONDS:.0f} s: {_last_lines(log)}"
    found = {answer["model"]: answer for answer in answers}
    return {name: found.get(name, {"error": missing}) for name in MODELS}


def _last_lines(log: Path) -> str:
    return " | ".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:])


def _gradients(mode: Mode, scratch: Path) -> Path:
    return scratch / "".join(c if c.isalnum() else "_" for c in mode.name)


def _report(mode: Mode, answers: Mapping[str, dict[str, Any]], scratch: Path) -> list[str]:
    """Prints what one mode showed; what is wrong with it."""
    failures = []
    print(f"\n{mode.name}")
    for name, answer in answers.items():
        if "error" not in answer and mode.device != "cpu":
            answer["cpu_error"] = _beside_cpu(mode, name, scratch)
        for line in _lines(answer):
            print(f"  {name:<5} {line}", flush=True)
        failures += [f"{mode.name}, {name}: {wrong}" for wrong in judged(mode, answer)]
    return failures


def _beside_cpu(mode: Mode, model: str, scratch: Path) -> float | None:
    files = [_gradients(m, scratch) for m in (mode, Mode("cpu", "cpu"))]
    paths = [file.with_name(f"{file.name}-{model}.safetensors") for file in files]
    return worst(load_file(paths[0]), load_file(paths[1])) if all(path.exists() for path in paths) else None


def _lines(answer: Mapping[str, Any]) -> list[str]:
    if "error" in answer:
        return [f"error: {answer['error']}"]
    beside = answer.get("cpu_error")
    return [
        f"on {answer['runs_on']}: {answer['seconds_per_step']:.3f} s a step, peak memory of the "
        f"{answer['memory_of']} {answer['peak_bytes'] / 2**20:.0f} MB over the loaded model",
        f"gradients: {answer['finite_difference_error']:.1e} off finite differences, checkpointed "
        f"{answer['checkpointing_error']:.1e} off" + ("" if beside is None else f", {beside:.1e} off the CPU's"),
        f"base {'changed: ' + ', '.join(answer['changed']) if answer['changed'] else 'unchanged'}; "
        f"a second run {'gives the same bits' if answer['same_again'] else 'differs in bits'}",
    ]


def judged(mode: Mode, answer: Mapping[str, Any]) -> list[str]:
    """What is wrong with an answer, in words."""
    if "error" in answer:
        return [str(answer["error"])]
    # The host may have moved weights between memories meanwhile: that is its business, their content is not.
    moved = {"objects", "pointers", "flags"} if mode.options else set()
    changed = sorted(set(answer["changed"]) - moved)
    beside = answer.get("cpu_error", 0.0)
    wrong = {
        "gradients disagree with finite differences": not answer["finite_difference_error"] <= AGAINST_DIFFERENCES,
        "checkpointing changes the gradients": not answer["checkpointing_error"] <= CHECKPOINTING,
        f"the base model was changed ({', '.join(changed)})": bool(changed),
        "gradients disagree with the CPU's": beside is None or not beside <= AGAINST_CPU,
        f"it ran on {answer['runs_on']}": not str(answer["runs_on"]).startswith(mode.device),
        # Other devices may add up in any order.
        "a second run gives other bits": mode.device == "cpu" and not answer["same_again"],
    }
    return [text for text, is_wrong in wrong.items() if is_wrong]


if __name__ == "__main__":
    raise SystemExit(main())
