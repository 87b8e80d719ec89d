"""How the learning rate changes over a run (`diffusers.optimization`)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from .config import TrainingConfig

POWER = 2.0
"""Of the polynomial schedule; with 1 it would be the linear one."""


def create_schedule(optimizer: Optimizer, config: TrainingConfig) -> LambdaLR:
    """Warmup, then the schedule over `schedule_steps`, for all groups alike."""
    share = _share(config)
    return LambdaLR(optimizer, [share] * len(optimizer.param_groups))


def _share(config: TrainingConfig) -> Callable[[int], float]:
    """Of the full learning rate, by the number of steps done."""
    from diffusers.optimization import get_scheduler

    # A stand-in: diffusers' own optimizer argument is only read for its learning rate.
    stand_in = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=config.learning_rate)
    made = get_scheduler(
        "constant_with_warmup" if config.lr_scheduler == "constant" else config.lr_scheduler,
        stand_in,
        num_warmup_steps=config.warmup_steps,
        num_training_steps=max(config.schedule_steps, config.warmup_steps + 1),
        num_cycles=config.lr_cycles,
        power=POWER,
    )
    (after_warmup,) = made.lr_lambdas

    def share(step: int) -> float:
        # diffusers begins at zero: its first step would change nothing.
        return (step + 1) / (config.warmup_steps + 1) if step < config.warmup_steps else after_warmup(step)

    return share
