"""Norms of a frozen network: the gradient of their input alone, with no weight saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .weights import borrowed_weight, own

_aten = torch.ops.aten
_HAS_GROUP_NORM_KERNELS = ("cpu", "cuda")


class FrozenNorm(torch.autograd.Function):
    """A norm with weights: keeps its input and statistics, and asks for its weight again in backward."""

    @staticmethod
    def forward(ctx: Any, module: Any, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        ctx.module = module
        ctx.native = _native(module, x)
        if ctx.native is None:
            ctx.save_for_backward(x)
            return own(forward(x))
        with borrowed_weight(module, x) as (weight, bias):
            y, mean, rstd = ctx.native.forward(module, x, weight, bias)
        ctx.save_for_backward(x, mean, rstd)
        return own(y)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, Tensor]:
        x, *statistics = ctx.saved_tensors
        with borrowed_weight(ctx.module, x) as (weight, bias):
            if ctx.native is not None:
                return None, None, ctx.native.backward(ctx.module, grad, x, *statistics, weight, bias)
            if isinstance(ctx.module, nn.RMSNorm):
                return None, None, _rms_backward(ctx.module, grad, x, weight)
            return None, None, _recomputed(ctx.module, grad, x, weight, bias)


class FrozenPlainNorm(torch.autograd.Function):
    """A layer norm without weights: keeps its output and scale, of which its gradient is a function.

    Transformer blocks put what they add back into the very tensor that their norms read (`x += ...`). With that
    input saved, autograd refuses, or has to be told to copy at every operation of the model.
    """

    @staticmethod
    def forward(ctx: Any, module: Any, _forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        ctx.shape = module.normalized_shape
        y, _, rstd = _aten.native_layer_norm(x, ctx.shape, None, None, module.eps)
        ctx.save_for_backward(y, rstd)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, Tensor]:
        # y is the layer norm of itself, with mean 0 and scale 1; the chain rule adds the scale of x.
        y, rstd = ctx.saved_tensors
        found, _, _ = _aten.native_layer_norm_backward(
            grad, y, ctx.shape, torch.zeros_like(rstd), torch.ones_like(rstd), None, None, (True, False, False)
        )
        return None, None, found * rstd.to(found.dtype)


def is_plain_layer_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.LayerNorm) and module.weight is None and "forward" not in module.__dict__


class _LayerNorm:
    @staticmethod
    def forward(module: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        return _aten.native_layer_norm(x, module.normalized_shape, weight, bias, module.eps)

    @staticmethod
    def backward(
        module: Any, grad: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        wanted = (True, False, False)
        return _aten.native_layer_norm_backward(grad, x, module.normalized_shape, mean, rstd, weight, bias, wanted)[0]


class _GroupNorm:
    @staticmethod
    def forward(module: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        return _aten.native_group_norm(x, weight, bias, *_sizes(module, x), module.eps)

    @staticmethod
    def backward(
        module: Any, grad: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor, _bias: Tensor | None
    ) -> Tensor:
        grad = grad.contiguous()
        wanted = (True, False, False)
        return _aten.native_group_norm_backward(grad, x, mean, rstd, weight, *_sizes(module, x), wanted)[0]


def _sizes(module: Any, x: Tensor) -> tuple[int, int, int, int]:
    rows, channels = x.shape[:2]
    return rows, channels, x.numel() // max(1, rows * channels), module.num_groups


def _native(module: nn.Module, x: Tensor) -> type[_LayerNorm] | type[_GroupNorm] | None:
    """Kernels that give the statistics too; None: the forward pass is left as it is."""
    if isinstance(module, nn.LayerNorm):
        return _LayerNorm
    if isinstance(module, nn.GroupNorm) and x.device.type in _HAS_GROUP_NORM_KERNELS and x.is_contiguous():
        return _GroupNorm
    return None


def _rms_backward(module: Any, grad: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """y = x r w with r = 1 / sqrt(mean(x^2) + eps): dx = r g w - x r^3 mean(x g w)."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    wide = x.to(dtype)
    dims = tuple(range(-len(module.normalized_shape), 0))
    eps = torch.finfo(dtype).eps if module.eps is None else module.eps
    scale = torch.rsqrt(wide.square().mean(dims, keepdim=True) + eps)
    weighted = grad.to(dtype) * weight.to(dtype)
    shared = (wide * weighted).mean(dims, keepdim=True) * scale.pow(3)
    return torch.addcmul(weighted.mul_(scale), wide, shared, value=-1).to(x.dtype)


def _recomputed(module: Any, grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    with torch.enable_grad():
        again = x.detach().requires_grad_()
        y = torch.nn.functional.group_norm(again, module.num_groups, weight, bias, module.eps)
        return torch.autograd.grad(y, again, grad)[0]
