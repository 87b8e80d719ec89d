"""Gradients checked against central differences of the loss, every tensor by itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
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
    mixed: bool = False
    """One direction halfway between the two, at the step of `along`: half the time, for many models."""
    shorter: tuple[float, ...] = (1.0,)
    """The step is divided by these in turn until the two agree: where the loss is much curved, a step is too long."""


FP32 = Differences(along=1e-2, across=1e-1, tolerance=1e-2)
FP32_MIXED = Differences(along=1e-2, across=1e-1, tolerance=1e-2, mixed=True, shorter=(1.0, 4.0, 16.0, 64.0))
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
    dead: Collection[str] = (),
) -> None:
    """Raises AssertionError with the worst tensors, when any is off by more than the tolerance.

    `dead`: tensors that nothing in the answer depends on.
    """
    wrong: list[tuple[float, str]] = []
    for i, (name, parameter) in enumerate(parameters.items()):
        gradient = gradients[name]
        size = float(gradient.double().norm())
        if name in dead:
            assert size == 0 == central_difference(loss, parameter, torch.ones_like(parameter), 1.0), name
            continue
        assert size > 0, f"{name}: the gradient is zero"
        for direction, step in _ways(gradient.double() / size, random_direction(gradient, i), how):
            claimed = slope(gradient, direction)
            for shorter in how.shorter:
                found = central_difference(loss, parameter, direction, step / shorter)
                error = abs(found - claimed) / abs(claimed)
                if error <= how.tolerance:
                    break
            else:
                wrong.append((error, f"{name}: {claimed:.6e}, finite difference {found:.6e}"))
    wrong.sort(reverse=True)
    assert not wrong, f"{len(wrong)} checks of {len(parameters)} tensors differ; the worst: {wrong[:8]}"


def _ways(along: Tensor, across: Tensor, how: Differences) -> list[tuple[Tensor, float]]:
    if not how.mixed:
        return [(along, how.along), (across, how.across)]
    if float((along * across).sum()) < 0:
        across = -across
    between = along + across
    return [(between / between.norm(), how.along)]
