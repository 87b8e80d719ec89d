"""What the two pretraining scripts share: precision, schedule, averages, and a state to go on from."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def faster_precision(step: Callable[[torch.dtype], object]) -> torch.dtype:
    """bf16 where it is faster than fp32: CPUs with AMX or AVX512-BF16, not others."""
    times = {}
    for dtype in (torch.float32, torch.bfloat16):
        step(dtype)
        start = time.perf_counter()
        step(dtype)
        times[dtype] = time.perf_counter() - start
    return min(times, key=times.__getitem__)


def choose_precision(name: str, step: Callable[[torch.dtype], object]) -> torch.dtype:
    known = {"fp32": torch.float32, "bf16": torch.bfloat16}
    return known[name] if name in known else faster_precision(step)


def autocast(dtype: torch.dtype) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16)


def learning_rate(step: int, steps: int, peak: float, warmup: int = 100, floor: float = 0.02) -> float:
    """Linear warm-up, then half a cosine down to `floor` of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass
class Average:
    """An exponential moving average of the weights, faster while there are few steps."""

    model: torch.nn.Module
    decay: float = 0.999
    shadow: dict[str, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.shadow:
            self.shadow = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self.decay, (step + 1) / (step + 10))
        live = self.model.state_dict()
        names = list(self.shadow)
        torch._foreach_lerp_([self.shadow[n] for n in names], [live[n] for n in names], 1 - decay)


class ConvMuon(torch.optim.Optimizer):
    """Muon for convolutions: the momentum of a kernel, as a matrix, is replaced by its nearest orthogonal one.

    Keller Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024. Torch's own takes
    matrices only.
    """

    def __init__(self, parameters, lr: float, momentum: float = 0.95):
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                held = state.setdefault("momentum_buffer", torch.zeros_like(parameter))
                held.lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(held, group["momentum"])
                parameter.add_(orthogonal(update.flatten(1)).view_as(parameter), alpha=-group["lr"])


def orthogonal(matrix: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """Newton-Schulz iterations towards the nearest matrix whose singular values are one."""
    x = matrix / (matrix.norm() + 1e-7)
    for _ in range(rounds):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x


def flatten_optimizer(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, torch.Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{prefix}.{index}.{name}": value.clone() if torch.is_tensor(value) else torch.tensor(value)
        for index, values in state.items()
        for name, value in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, prefix: str, flat: dict[str, torch.Tensor]) -> None:
    full = optimizer.state_dict()
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in flat.items():
        if key.startswith(prefix + "."):
            index, name = key[len(prefix) + 1 :].split(".", 1)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": full["param_groups"]})


def save_state(path: Path, step: int, average: Average, optimizers: dict[str, torch.optim.Optimizer]) -> None:
    tensors = {f"model.{k}": v.detach().clone() for k, v in average.model.state_dict().items()}
    tensors |= {f"average.{k}": v.clone() for k, v in average.shadow.items()}
    for name, optimizer in optimizers.items():
        tensors |= flatten_optimizer(optimizer, name)
    tensors = {k: v.contiguous() for k, v in tensors.items()}
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, {"step": json.dumps(step)})
    temporary.replace(path)


def load_state(path: Path, average: Average, optimizers: dict[str, torch.optim.Optimizer]) -> int:
    """The step to go on from; 0 and nothing changed when there is no state."""
    if not path.is_file():
        return 0
    from safetensors import safe_open

    tensors = load_file(path)
    average.model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    average.shadow = {k[8:]: v for k, v in tensors.items() if k.startswith("average.")}
    for name, optimizer in optimizers.items():
        restore_optimizer(optimizer, name, tensors)
    with safe_open(path, "pt") as file:
        return int(json.loads(file.metadata()["step"]))
