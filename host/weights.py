"""A layer's weight, borrowed from the host for the time of one computation."""

from __future__ import annotations

from typing import Any

import comfy.ops
import torch
from torch import Tensor, nn


class borrowed_weight:  # noqa: N801 - used as a function: `with borrowed_weight(layer, x) as (weight, bias)`
    """The layer's weight and bias in the dtype and on the device of `like`, given back on exit."""

    __slots__ = ("_like", "_loan", "_module")

    def __init__(self, module: Any, like: Tensor) -> None:
        self._module, self._like = module, like
        self._loan: tuple[Any, ...] | None = None

    def __enter__(self) -> tuple[Tensor, Tensor | None]:
        module = self._module
        if is_resident(module, self._like):
            return module.weight, module.bias
        self._loan = comfy.ops.cast_bias_weight(module, self._like, offloadable=True)
        weight, bias, _stream = self._loan
        return _usable(weight), None if bias is None else _usable(bias)

    def __exit__(self, *_exception: object) -> None:
        if self._loan is not None:
            comfy.ops.uncast_bias_weight(self._module, *self._loan)


def is_resident(module: Any, like: Tensor) -> bool:
    """Whether the host would lend the layer's own tensors as they are: asking for them takes it longer than using
    them does for a small layer."""
    return (
        _fits(module.weight, like)
        and _fits(module.bias, like)
        and isinstance(module, comfy.ops.CastWeightBiasOp)
        and not hasattr(module, "_v")  # a page of DynamicVRAM
        and not module.weight_function
        and not module.bias_function
    )


def _fits(tensor: Tensor | None, like: Tensor) -> bool:
    if tensor is None:
        return True
    return is_plain(tensor) and tensor.dtype == like.dtype and tensor.device == like.device


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


def own_product(output: Tensor) -> Tensor:
    """`own` for a linear layer: a view of the whole of a matrix that nobody else has, whose memory serves as it is."""
    whole = output._base is not None and output._base.numel() == output.numel() and output.is_contiguous()
    return torch.ops.aten._unsafe_view(output, output.shape) if whole else own(output)
