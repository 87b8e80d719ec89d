"""How much memory a run needs, and what is there for it: the rules that planning and training share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from .config import TrainingConfig

SAMPLING_FACTOR = 4
"""Activations kept for the backward pass, in units of what the host reckons for sampling the same batch. A guess, for
where nothing has been measured yet."""

HEADROOM = 0.1
"""Share of the memory that is left alone: fragments, kernels' own buffers, what nobody counted."""

_STATE_BYTES = {
    "adamw": 8,  # two moments
    "adamw8bit": 2,  # two moments, one byte each
    "lion": 4,
    "prodigy": 16,  # two moments, the start value, a running sum
    "schedulefree": 8,  # a second moment, the other sequence of weights
    "sgd": 0,
    "momentum": 4,
    "other": 8,
}
"""Optimizer state for one fp32 parameter."""
_SMALLEST_8BIT = 4096
"""bitsandbytes keeps the state of smaller tensors in fp32."""


@dataclass(frozen=True)
class Card:
    """The memory that a model trains in: that of its device."""

    name: str
    total: int
    available: int
    """Bytes for the base and all of training: what is free, what the base already takes, and what the host can free."""
    base: int
    """Bytes of the base as it is loaded."""
    offloads: bool = False
    """Whether the host can keep a part of the base elsewhere."""

    @property
    def usable(self) -> int:
        return int(self.available * (1 - HEADROOM))


@dataclass(frozen=True)
class Needs:
    """Bytes of a run over those of the loaded base."""

    adapters: int
    gradients: int
    optimizer: int
    average: int
    """The moving average of the adapters."""
    activations: int

    @property
    def total(self) -> int:
        return self.adapters + self.gradients + self.optimizer + self.average + self.activations


def needs(parameters: Iterable[Tensor], config: TrainingConfig, activations: int) -> Needs:
    """`parameters` of all adapters; `config` resolved; `activations`: bytes at the peak of a step."""
    tensors = list(parameters)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    optimizer = "momentum" if config.optimizer == "sgd" and "momentum" in config.optimizer_args else config.optimizer
    state = sum(_state_bytes(tensor, optimizer) for tensor in tensors)
    return Needs(size, size, state, size if config.ema_decay else 0, activations)


def fits(card: Card, needed: Needs) -> bool:
    """With the whole base in the device's memory."""
    return card.base + needed.total <= card.usable


def _state_bytes(tensor: Tensor, optimizer: str) -> int:
    count = tensor.numel()
    if optimizer == "adafactor":
        # A row and a column in place of a matrix (arXiv:1804.04235).
        matrix = tensor.ndim >= 2
        return 4 * (count // tensor.shape[-1] + count // tensor.shape[-2] if matrix else count)
    if optimizer == "adamw8bit" and count < _SMALLEST_8BIT:
        optimizer = "adamw"
    return count * _STATE_BYTES[optimizer]


def shown_bytes(count: float) -> str:
    """ "1.5 GB": in units of 1024, as task managers show them."""
    for unit in ("B", "KB", "MB", "GB"):
        if abs(count) < 1000 or unit == "GB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
