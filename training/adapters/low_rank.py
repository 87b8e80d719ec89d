"""y + scale B A x in one autograd function.

Written as three layers it costs as much as all else that an adapter does: temporaries as large as the layer's output,
passes over them to scale and to add, and, where the base runs in half precision, an fp32 copy of the input that is
kept for the backward pass.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor


class TakesMore(Protocol):
    """A layer's autograd node that adds a low-rank product to the gradient of its input: one pass over that less,
    and nothing as large as it in between."""

    takes_more_for: int
    """`id` of the input that the gradient is of."""
    more: tuple[Tensor, Tensor] | None
    """(rows, r) and (r, in), set in the backward pass before the layer's own turn."""


class _LowRank(torch.autograd.Function):
    """Adds to the layer's output in place; keeps the layer's input as it is and the hidden values."""

    @staticmethod
    def forward(
        ctx: Any, output: Tensor, x: Tensor, down: Tensor, up: Tensor, scale: float, layer: TakesMore | None
    ) -> Tensor:
        hidden = _rows(x).to(down.dtype) @ down.T
        hidden *= scale
        ctx.scale, ctx.layer = scale, layer
        ctx.save_for_backward(x, hidden, down, up)
        if output.dtype == up.dtype and output.is_contiguous():
            _rows(output).addmm_(hidden, up.T)
        else:
            output += (hidden @ up.T).view(output.shape).to(output.dtype)
        ctx.mark_dirty(output)
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor, Tensor, None, None]:
        x, hidden, down, up = ctx.saved_tensors
        of_output = _rows(grad).to(up.dtype)
        of_hidden = of_output @ up
        of_hidden *= ctx.scale
        of_x = None
        if ctx.layer is not None:
            ctx.layer.more = (of_hidden, down)
        elif ctx.needs_input_grad[1]:
            of_x = (of_hidden @ down).view(x.shape).to(x.dtype)
        # The long side of `up` goes last: several times faster than its own layout on a CPU.
        of_up = (hidden.T @ of_output).T.contiguous()
        return grad, of_x, of_hidden.T @ _rows(x).to(down.dtype), of_up, None, None


class _LowRankChannels(torch.autograd.Function):
    """The same on channels that come before the places, as a convolution of one pixel has them."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, x: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
        hidden = torch.bmm(_batched(down, x), x.flatten(2).to(down.dtype))
        hidden *= scale
        ctx.scale = scale
        ctx.save_for_backward(x, hidden, down, up)
        if output.dtype == up.dtype and output.is_contiguous():
            output.view(*output.shape[:2], -1).baddbmm_(_batched(up, x), hidden)
        else:
            output += torch.bmm(_batched(up, x), hidden).view(output.shape).to(output.dtype)
        ctx.mark_dirty(output)
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor, Tensor, None]:
        x, hidden, down, up = ctx.saved_tensors
        of_output = grad.flatten(2).to(up.dtype)
        of_hidden = torch.bmm(_batched(up.T, x), of_output)
        of_hidden *= ctx.scale
        of_x = torch.bmm(_batched(down.T, x), of_hidden).view(x.shape).to(x.dtype) if ctx.needs_input_grad[1] else None
        of_down = torch.bmm(of_hidden, x.flatten(2).to(down.dtype).transpose(1, 2)).sum(0)
        return grad, of_x, of_down, torch.bmm(of_output, hidden.transpose(1, 2)).sum(0), None


def _batched(matrix: Tensor, x: Tensor) -> Tensor:
    return matrix.expand(len(x), *matrix.shape)


def _rows(tensor: Tensor) -> Tensor:
    """(..., n) -> (rows, n)"""
    return tensor.reshape(-1, tensor.shape[-1])


def add_low_rank(
    output: Tensor, x: Tensor, down: Tensor, up: Tensor, scale: float, channels_first: bool = False
) -> Tensor:
    """`output` (..., out) + scale * (`x` (..., in) `down`^T (in, rank)) `up`^T (rank, out).

    With `channels_first` `output` is (B, out, ...), `x` (B, in, ...).

    `output` is overwritten: it has to be a layer's own result, which nothing else reads. Computed in the dtype of
    `down` and `up`.
    """
    if output._is_view() or torch.is_inference(output):
        output = output.clone()
    if channels_first:
        return _LowRankChannels.apply(output, x, down, up, scale)
    return _LowRank.apply(output, x, down, up, scale, _layer_of(output, x, down))


def _layer_of(output: Tensor, x: Tensor, down: Tensor) -> TakesMore | None:
    """The node that computes the layer's gradient, where it can add the adapter's into its own product."""
    node = output.grad_fn
    fits = getattr(node, "takes_more_for", None) == id(x) and x.dtype == down.dtype == output.dtype
    return node if fits else None  # type: ignore[return-value]
