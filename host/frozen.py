"""Lending the host's loaded weights to autograd without copying, changing or keeping any of them.

Three facts of the host (0.30) make this necessary:

- Loader nodes run in `torch.inference_mode`, so every parameter of a MODEL is an inference tensor, which autograd
  refuses. `aliases` puts tensors over the same storage in their place, and afterwards the same objects back.
- On an fp8, fp16 or offloaded base a layer computes with a cast or borrowed weight. A plain backward keeps it: twice
  the base in memory and, where the buffer is re-used by the next layer, wrong gradients. `frozen_layers` runs each
  layer in an autograd function that keeps the module only and asks for its weight again in backward.
- Layers that need no cast call torch directly, with weights in the base's dtype; they too go through
  `comfy.ops.cast_bias_weight`, the one door by which the host hands out weights.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.ops
import torch
from torch import Tensor, nn

from .frozen_norms import FrozenNorm, FrozenPlainNorm, is_plain_layer_norm
from .weights import alias, borrowed_weight, is_plain, is_resident, own, own_product

_PLAIN_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)
"""Layers whose torch class computes what the host's does, once the weight is there."""


@contextmanager
def aliases(root: nn.Module) -> Iterator[None]:
    """Replaces inference tensors of `root` by aliases of the same storage; enter outside of inference mode."""
    kept: list[tuple[dict[str, Any], str, Tensor, Tensor]] = []
    try:
        for module in root.modules():
            for table in (module._parameters, module._buffers):
                for name, tensor in list(table.items()):
                    if tensor is not None and tensor.is_inference() and is_plain(tensor):
                        other = alias(tensor)
                        kept.append((table, name, tensor, other))
                        table[name] = other  # type: ignore[assignment]
        yield
    finally:
        for table, name, tensor, other in kept:
            # What the host has replaced meanwhile (it may move weights) is its own business.
            if table.get(name) is other:
                table[name] = tensor


class _FrozenLinear(torch.autograd.Function):
    """y = x W^T + b; backward g W."""

    @staticmethod
    def forward(ctx: Any, module: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        ctx.module, ctx.takes_more_for, ctx.more = module, id(x), None
        # Detached: the host's quantised layers would choose an autograd function of their own.
        return own_product(forward(x.detach()))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, Tensor]:
        with borrowed_weight(ctx.module, grad) as (weight, _):
            found = grad @ weight
        smoothing = getattr(ctx.module, "pre_quant_scale", None)
        if smoothing is not None:
            found = found * smoothing.to(found)
        if ctx.more is not None:
            # Of an adapter beside the layer (`training.adapters.low_rank`).
            of_hidden, down = ctx.more
            found.view(-1, found.shape[-1]).addmm_(of_hidden, down)
            ctx.more = None
        return None, None, found


class _FrozenConv(torch.autograd.Function):
    """Convolution of any dimension; backward to its input alone."""

    @staticmethod
    def forward(ctx: Any, module: Any, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        ctx.module, ctx.shape = module, x.shape
        return own(forward(x))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, Tensor]:
        module = ctx.module
        # Only the input's shape is needed for its gradient: no storage behind it.
        shape_only = grad.new_empty(1).expand(ctx.shape)
        with borrowed_weight(module, grad) as (weight, _):
            found = torch.ops.aten.convolution_backward(
                grad,
                shape_only,
                weight,
                None,
                module.stride,
                _padding(module),
                module.dilation,
                False,
                [0] * (grad.ndim - 2),
                module.groups,
                (True, False, False),
            )
        return None, None, found[0]


class _FrozenRecompute(torch.autograd.Function):
    """A layer that somebody else runs his own way: keeps its input and runs it again in backward."""

    @staticmethod
    def forward(ctx: Any, _module: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        ctx.run = forward
        ctx.save_for_backward(x)
        return own(forward(x))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, Tensor]:
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            again = x.detach().requires_grad_()
            return None, None, torch.autograd.grad(ctx.run(again), again, grad)[0]


def _padding(module: Any) -> list[int]:
    if module.padding == "same":
        return [d * (k - 1) // 2 for d, k in zip(module.dilation, module.kernel_size, strict=True)]
    return [0] * len(module.kernel_size) if module.padding == "valid" else list(module.padding)


def _frozen_forward(module: nn.Module) -> Callable[..., Tensor] | None:
    """The layer's forward, made to keep no weight; None for layers without weights of their own."""
    kind = _frozen_kind(module)
    if kind is None:
        return None
    plain = module.forward if kind is _FrozenRecompute else _cast_forward(module)

    def forward(_self: nn.Module, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if args or kwargs or not torch.is_grad_enabled():
            return plain(x, *args, **kwargs)
        return kind.apply(module, plain, x)

    return forward


def _frozen_kind(module: nn.Module) -> Any:
    if is_plain_layer_norm(module):
        return FrozenPlainNorm
    linear = hasattr(module, "in_features") and hasattr(module, "out_features")
    conv = isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and module.padding_mode == "zeros"
    norm = isinstance(module, (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm))
    if not (linear or conv or norm):
        return None
    if _is_overridden(module) or (norm and not isinstance(module, comfy.ops.CastWeightBiasOp)):
        return _FrozenRecompute
    return _FrozenConv if conv else _FrozenLinear if linear else FrozenNorm


def _is_overridden(module: nn.Module) -> bool:
    """Whether the layer runs something else than its class says, such as a LoRA in the host's bypass mode."""
    own = module.__dict__.get("forward")
    # The host's bypass mode leaves the class's own method behind when it ends.
    return own is not None and getattr(own, "__func__", None) is not type(module).forward


def _cast_forward(module: Any) -> Callable[..., Tensor]:
    # `forward_comfy_cast_weights` is what the host itself runs whenever a cast is needed. Quantised layers choose
    # in their own forward between a quantised product and a cast.
    if not (isinstance(module, comfy.ops.CastWeightBiasOp) and is_plain(module.weight)):
        return module.forward
    cast: Callable[..., Tensor] = getattr(module, "forward_comfy_cast_weights", module.forward)
    plain: Any = next((kind.forward for kind in _PLAIN_LAYERS if isinstance(module, kind)), None)
    if plain is None:
        return cast

    def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if args or kwargs or not is_resident(module, x):
            return cast(x, *args, **kwargs)
        return plain(module, x)

    return forward


@contextmanager
def frozen_layers(root: nn.Module) -> Iterator[None]:
    """Makes every layer of `root` that has weights run without autograd saving them, for the time of the context."""
    replaced: list[tuple[nn.Module, Any]] = []
    try:
        for module in root.modules():
            if next(module.children(), None) is not None or not (_has_weights(module) or is_plain_layer_norm(module)):
                continue
            forward = _frozen_forward(module)
            if forward is not None:
                replaced.append((module, module.__dict__.get("forward")))
                module.forward = types.MethodType(forward, module)  # type: ignore[method-assign]
        yield
    finally:
        for module, before in replaced:
            if before is None:
                module.__dict__.pop("forward", None)
            else:
                module.forward = before  # type: ignore[method-assign]


def _has_weights(module: nn.Module) -> bool:
    return getattr(module, "weight", None) is not None
