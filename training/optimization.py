"""What happens to the adapters once a step's gradients are there: scaling, clipping, optimizer, schedule, average."""

from __future__ import annotations

import inspect
import math
import warnings
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
        self.steps = 0
        """Done with this optimizer."""
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

    def step(self) -> None:
        """After `clip`."""
        self.steps += 1
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scaler.is_enabled() and self.scaler.get_scale() < LEAST_SCALE:
            raise DanluError("The gradients overflow fp16 whatever they are scaled by. Set precision to bf16 or fp32.")
        # Past its end a cosine would rise again: the last learning rate is kept.
        if self.schedule is not None and self.steps < self.config.schedule_steps:
            self.schedule.step()
        if self.average is not None:
            self.average.step(self.parameters)

    def state(self) -> dict[str, Any]:
        """Everything but the adapters that the next step depends on: numbers, tensors, and containers of them."""
        return {
            "steps": self.steps,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule is not None else None,
            "scaler": self.scaler.state_dict() if self.scaler.is_enabled() else None,
            "average": self.average.state_dict() if self.average is not None else None,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """The counterpart of `state`, for the same config. Takes the tensors over."""
        self.steps = state["steps"]
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
            self.average.to(device=self.parameters[0].device)

    def take_over(self, state: dict[str, Any]) -> bool:
        """Goes on with what another config's optimizer knows, under this config's learning rate and schedule.

        False, and everything as it was, where that optimizer is of another kind.
        """
        merged = _merged(self.optimizer, state["optimizer"])
        if merged is None:
            return False
        try:
            self.optimizer.load_state_dict(merged)
        except (KeyError, ValueError, RuntimeError):
            return False
        if self.average is not None and state["average"] is not None:
            self.average.load_state_dict({**state["average"], "decay": self.average.decay})
            self.average.to(device=self.parameters[0].device)
        self.steps = state["steps"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "step the optimizer first": it has been, elsewhere
            for _ in range(min(self.steps, self.config.schedule_steps - 1) if self.schedule else 0):
                self.schedule.step()  # type: ignore[union-attr]
        return True

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


def _merged(optimizer: Any, state: dict[str, Any]) -> dict[str, Any] | None:
    """`state` with the optimizer's own settings; None where it is of another kind."""
    own = optimizer.state_dict()
    settings = {"params", "scale", "initial_lr", *inspect.signature(type(optimizer)).parameters}
    groups = []
    if len(own["param_groups"]) != len(state["param_groups"]):
        return None
    for mine, other in zip(own["param_groups"], state["param_groups"], strict=True):
        if mine.keys() != other.keys() or mine["params"] != other["params"]:
            return None
        groups.append({key: mine[key] if key in settings else other[key] for key in mine})
    return {"state": state["state"], "param_groups": groups}


def _average(parameters: Sequence[nn.Parameter], decay: float) -> Any:
    from diffusers.training_utils import EMAModel

    return EMAModel(parameters, decay=decay)
