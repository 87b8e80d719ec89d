"""Gradients checked against central differences of the loss, every tensor by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Differences:
    """How to differentiate in one precision.

    Steps are relative to the tensor's norm. Along its gradient a tensor changes the loss most, so the step is
    short; a random direction changes it less by the root of the number of elements, so the step is longer.
    """

    along: float
    across: float
    tolerance: float


FP32 = Differences(along=1e-2, across=1e-1, tolerance=1e-2)
FP64 = Differences(along=1e-4, across=1e-3, tolerance=1e-5)


def random_direction(gradient: Tensor, seed: int) -> Tensor:
    """A unit vector, not nearly at right angles to the gradient: there is nothing to measure there."""
    rng = torch.Generator().manual_seed(seed)
    enough = 0.5 * float(gradient.double().norm()) / gradient.numel() ** 0.5
    while True:
        direction = torch.randn(gradient.shape, generator=rng, dtype=torch.float64)
        direction /= direction.norm()
        if abs(slope(gradient, direction)) > enough:
            return direction


def slope(gradient: Tensor, direction: Tensor) -> float:
    return float((gradient.double() * direction).sum())


def central_difference(loss: Callable[[], float], parameter: nn.Parameter, direction: Tensor, step: float) -> float:
    start = parameter.detach().clone()
    step *= float(start.norm())
    parameter.copy_(start + step * direction)
    above = loss()
    parameter.copy_(start - step * direction)
    below = loss()
    parameter.copy_(start)
    return (above - below) / (2 * step)


@torch.no_grad()
def check_gradients(
    loss: Callable[[], float],
    parameters: Mapping[str, nn.Parameter],
    gradients: Mapping[str, Tensor],
    how: Differences,
) -> None:
    """Raises AssertionError with the worst tensors, when any is off by more than the tolerance."""
    wrong: list[tuple[float, str]] = []
    for i, (name, parameter) in enumerate(parameters.items()):
        gradient = gradients[name]
        size = float(gradient.double().norm())
        assert size > 0, f"{name}: the gradient is zero"
        ways = (gradient.double() / size, how.along), (random_direction(gradient, i), how.across)
        for direction, step in ways:
            claimed = slope(gradient, direction)
            found = central_difference(loss, parameter, direction, step)
            error = abs(found - claimed) / abs(claimed)
            if not error <= how.tolerance:
                wrong.append((error, f"{name}: {claimed:.6e}, finite difference {found:.6e}"))
    wrong.sort(reverse=True)
    assert not wrong, f"{len(wrong)} of {2 * len(parameters)} differ; the worst: {wrong[:8]}"
