"""What happens to the adapters once a step's gradients are there: scaling, clipping, optimizer, schedule, average."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DanluError
from .config import TrainingConfig
from .optimizers import create_optimizer
from .schedules import create_schedule

LEAST_SCALE = 1.0
"""A loss scale below this means that gradients overflow whatever is done."""


class Optimization:
    """Optimizer, schedule, gradient scaler and moving average of one run."""

    def __init__(self, groups: Sequence[dict[str, Any]], config: TrainingConfig, device: torch.device) -> None:
        self.config = config
        self.parameters: list[nn.Parameter] = [parameter for group in groups for parameter in group["params"]]
        self.optimizer: Any = create_optimizer(groups, config)
        self.own_schedule = config.optimizer == "schedulefree"
        self.schedule = None if self.own_schedule else create_schedule(self.optimizer, config)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        self.average = _average(self.parameters, config.ema_decay) if config.ema_decay else None
        self._mode("train")

    def scaled(self, loss: Tensor) -> Tensor:
        """What `backward` is called on."""
        return self.scaler.scale(loss)

    def forget_gradients(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)

    def clip(self) -> float:
        """Shortens the gradient to `max_grad_norm`; its length before that."""
        self.scaler.unscale_(self.optimizer)
        return float(torch.nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm or math.inf))

    @property
    def learning_rate(self) -> float:
        """Of the next step, without what layers multiply it by."""
        group = self.optimizer.param_groups[0]
        # Prodigy moves by its own estimate times the learning rate.
        return float(group["lr"]) * float(group.get("d", 1.0)) / float(group["scale"])

    def step(self, number: int) -> None:
        """After `clip`. `number` of the step, from 1."""
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scaler.is_enabled() and self.scaler.get_scale() < LEAST_SCALE:
            raise DanluError("The gradients overflow fp16 whatever they are scaled by. Set precision to bf16 or fp32.")
        # Past its end a cosine would rise again: the last learning rate is kept.
        if self.schedule is not None and number < self.config.schedule_steps:
            self.schedule.step()
        if self.average is not None:
            self.average.step(self.parameters)

    @contextmanager
    def weights_to_keep(self) -> Iterator[None]:
        """The adapters as a file shall hold them, for the time of the context: averaged, where there is an average."""
        if self.average is None and not self.own_schedule:
            yield
            return
        # Put back as they were, not computed back: when it is saved must not change what is trained, not by a bit.
        before = [parameter.detach().clone() for parameter in self.parameters]
        self._mode("eval")
        if self.average is not None:
            self.average.copy_to(self.parameters)
        try:
            yield
        finally:
            self._mode("train")
            with torch.no_grad():
                for parameter, value in zip(self.parameters, before, strict=True):
                    parameter.copy_(value)

    def _mode(self, name: str) -> None:
        """Schedule-free optimizers train at one point and keep another (arXiv:2405.15682)."""
        if self.own_schedule:
            getattr(self.optimizer, name)()


def _average(parameters: Sequence[nn.Parameter], decay: float) -> Any:
    from diffusers.training_utils import EMAModel

    return EMAModel(parameters, decay=decay)
