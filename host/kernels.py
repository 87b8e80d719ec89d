"""Fused kernels that the host calls in a few families even while it trains, and that have no backward.

`comfy_kitchen` has each of them a second time, written in plain torch operations. Within a block of such a network,
calls of the kernel go to that one; nothing is patched or registered, and other networks never see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_base
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_base = comfy.model_base
FAMILIES = (_base.Anima, _base.CosmosPredict2, _base.ErnieImage, _base.JoyImage)
_KERNELS = ("apply_rope_split_half", "apply_rope_split_half1", "rms_rope", "rms_rope_split_half")
_SCALES = {"rms_rope": (3, 4), "rms_rope_split_half": (3, 4)}
"""Places of norm weights among a kernel's arguments."""


class _PlainKernels(TorchFunctionMode):
    def __init__(self, plain: dict[Any, Callable[..., Any]]) -> None:
        super().__init__()
        self.plain = plain

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.plain.get(func, func)(*args, **(kwargs or {}))


def _plain_kernels() -> dict[Any, Callable[..., Any]]:
    from comfy_kitchen.backends.eager import rope

    found: dict[Any, Callable[..., Any]] = {}
    for name in _KERNELS:
        packet = getattr(torch.ops.comfy_kitchen, name, None)
        if packet is not None and hasattr(rope, name):
            plain = _keeping_no_weight(getattr(rope, name), _SCALES.get(name, ()))
            found |= {packet: plain, packet.default: plain}
    return found


def _keeping_no_weight(kernel: Callable[..., Any], scales: tuple[int, ...]) -> Callable[..., Any]:
    """Autograd keeps a copy of a norm's weight, one number for each place in a head: the layer's own was only lent."""

    def run(*args: Any, **kwargs: Any) -> Any:
        return kernel(*(_copy(arg) if i in scales else arg for i, arg in enumerate(args)), **kwargs)

    return run


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


@contextmanager
def plain_kernels(model: Any) -> Iterator[None]:
    """Makes the blocks of `model`'s network differentiable, for the time of the context."""
    blocks = _blocks(model.diffusion_model) if isinstance(model, FAMILIES) else []
    plain = _plain_kernels() if blocks else {}
    before = [block.__dict__.get("forward") for block in blocks]
    try:
        for block in blocks:
            block.forward = _within(block.forward, plain)  # type: ignore[method-assign]
        yield
    finally:
        for block, own in zip(blocks, before, strict=True):
            if own is None:
                block.__dict__.pop("forward", None)
            else:
                block.forward = own  # type: ignore[method-assign]


def _blocks(network: nn.Module) -> list[nn.Module]:
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    return [block for blocks in lists for block in blocks]


def _within(forward: Callable[..., Any], plain: dict[Any, Callable[..., Any]]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        # Entered in each block: a mode belongs to a thread, and a checkpointed block runs again in autograd's own.
        with _PlainKernels(plain):
            return forward(*args, **kwargs)

    return run
