"""Lion (arXiv:2302.06675): the sign of a momentum. torch has none, and no library that every host has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Lion(torch.optim.Optimizer):
    """Steps of one size, `lr`, in the direction sign(b1 m + (1 - b1) g); then m = b2 m + (1 - b2) g.

    A step is longer than Adam's: a third to a tenth of its learning rate, with as much more weight decay.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        beta1, beta2 = betas
        if not (0.0 <= beta1 < 1.0 and 0.0 <= beta2 < 1.0):
            raise ValueError(f"betas must lie between 0 and 1, they are {betas}")
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)
        return loss

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum, (beta1, beta2) = state["momentum"], group["betas"]
        parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
        parameter.add_(momentum.lerp(gradient, 1.0 - beta1).sign_(), alpha=-group["lr"])
        momentum.lerp_(gradient, 1.0 - beta2)
