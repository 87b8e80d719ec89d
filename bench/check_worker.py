"""One device in one memory mode, in a process of its own: trains small models and says what came of it.

Gradients go to a file, so that those of the graphics card can be laid beside those of the CPU.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from ..demo.host_setup import add_host
from .pace import PeakMemory, answer

MODELS = {"sd15": "sd15-narrow", "flux": "flux"}
STEPS = 3
ALONG = 1e-4
"""How far along its gradient an adapter is moved for a finite difference, in units of its own length."""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", required=True, help="cpu, or whatever the host picks by itself")
    parser.add_argument("--mode", nargs="*", default=[], help="options of ComfyUI's command line")
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--gradients", type=Path, required=True)
    options = parser.parse_args()
    _start_host(options)
    for name in MODELS:
        try:
            answer(model=name, **_examined(name, options))
        except Exception as error:  # one model's failure does not hide the other's result
            traceback.print_exc()
            answer(model=name, error=f"{type(error).__name__}: {error}")
    return 0


def _start_host(options: argparse.Namespace) -> None:
    sys.argv = [sys.argv[0], *(f"--{word}" for word in options.mode)]
    add_host(cpu=options.device == "cpu")
    import folder_paths

    folder_paths.set_user_directory(str(options.scratch / "user"))


def _examined(name: str, options: argparse.Namespace) -> dict[str, Any]:
    from safetensors.torch import save_file

    from ..tests.factory import model_file
    from ..tests.host.snapshot import snapshot
    from ..tests.host.support import HELD, load_path, make_trainer

    base = load_path(model_file(options.scratch / "models", MODELS[name]), MODELS[name])
    with torch.inference_mode():
        before = snapshot(base)
    held, error = _gradients(make_trainer(base, precision="fp32", **HELD))
    checkpointed, _ = _gradients(make_trainer(base, precision="fp32", gradient_checkpointing="on", **HELD))
    save_file(held, options.gradients.with_name(f"{options.gradients.name}-{name}.safetensors"))
    first, facts = _trained(base)
    again, _ = _trained(base)
    with torch.inference_mode():
        changed = snapshot(base).differences(before)
    return {
        "runs_on": str(base.patcher.load_device),
        "finite_difference_error": error,
        "checkpointing_error": worst(checkpointed, held),
        "changed": changed,
        "same_again": all(torch.equal(first[key], again[key]) for key in first),
        **facts,
    }


def _gradients(trainer: Any) -> tuple[dict[str, torch.Tensor], float]:
    """Of every adapter tensor, and how far their claim is from a central difference of the loss along them all."""
    from ..tests.host.support import record, tensors_of

    found: list[float] = []

    @torch.no_grad()
    def compare(recorder: Any) -> None:
        parameters = tensors_of(trainer.adapters)
        length = sum(float(g.double().square().sum()) for g in recorder.gradients.values()) ** 0.5
        size = sum(float(p.double().square().sum()) for p in parameters.values()) ** 0.5
        start = {key: p.detach().clone() for key, p in parameters.items()}

        def loss_at(distance: float) -> float:
            for key, parameter in parameters.items():
                parameter.copy_(start[key] + recorder.gradients[key] * (distance * size / length))
            return float(trainer.loss(recorder.batches[-1]))

        slope = (loss_at(ALONG) - loss_at(-ALONG)) / (2 * ALONG * size)
        loss_at(0.0)
        found.append(abs(slope - length) / length)

    gradients = record(trainer, compare).gradients
    return {key: gradient.float().cpu().contiguous() for key, gradient in gradients.items()}, found[0]


def _trained(base: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The adapters after a few steps, and what the steps took."""
    from ..tests.host.support import make_trainer, run

    ends: list[float] = []
    trainer = make_trainer(base, precision="fp32", batch_size=2, on_step=lambda _log: ends.append(time.perf_counter()))
    memory = DeviceMemory(torch.device(base.patcher.load_device))
    run(trainer, STEPS)
    seconds = sorted(b - a for a, b in zip(ends, ends[1:], strict=False))
    return trainer.adapters.state_dict(), {
        "seconds_per_step": seconds[len(seconds) // 2],
        "peak_bytes": memory.extra(),
        "memory_of": memory.kind,
    }


class DeviceMemory:
    """The most that training takes over what is held now. Not run here: everything but the CPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.kind = "device" if device.type == "cuda" else "process"
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device)
        else:
            self._process = PeakMemory()
            self._process.start()

    def extra(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) - self._before
        return self._process.extra()


def worst(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """The largest relative error of a tensor, each by itself."""
    return max(
        float((found[key] - expected[key]).double().norm() / expected[key].double().norm().clamp_min(1e-300))
        for key in expected
    )


if __name__ == "__main__":
    raise SystemExit(main())
