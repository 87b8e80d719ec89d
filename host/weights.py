"""A layer's weight, borrowed from the host for the time of one computation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import comfy.ops
import torch
from torch import Tensor, nn


@contextmanager
def borrowed_weight(module: nn.Module, like: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The layer's weight and bias in the dtype and on the device of `like`, given back on exit."""
    weight, bias, stream = comfy.ops.cast_bias_weight(module, like, offloadable=True)
    try:
        yield _usable(weight), None if bias is None else _usable(bias)
    finally:
        comfy.ops.uncast_bias_weight(module, weight, bias, stream)


def _usable(tensor: Tensor) -> Tensor:
    if not is_plain(tensor):
        # The host leaves a weight quantised when its nominal dtype is the one that was asked for.
        return tensor.dequantize()
    # A page of the host's DynamicVRAM that was filled while it sampled is an inference tensor.
    return alias(tensor) if tensor.is_inference() else tensor


def is_plain(tensor: Tensor) -> bool:
    """Whether torch knows what is in it."""
    # The host's QuantizedTensor has no storage of its own; its layers are always frozen ones.
    return type(tensor) in (Tensor, nn.Parameter)


def alias(tensor: Tensor) -> Tensor:
    """An ordinary tensor over the same storage; outside of inference mode."""
    empty = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    other = empty.set_(tensor.untyped_storage(), tensor.storage_offset(), tensor.size(), tensor.stride())
    # The host's DynamicVRAM notes on the tensor itself in which dtype its page is laid out.
    other.__dict__.update(tensor.__dict__)
    return other


def own(output: Tensor) -> Tensor:
    """`output`, in memory that an autograd function may hand out."""
    # Blocks change layer outputs in place, which autograd forbids on views made inside a function.
    return output.clone() if output._is_view() else output
