"""y + scale B A x in one autograd function.

Written as three layers it costs as much as all else that an adapter does: temporaries as large as the layer's output,
passes over them to scale and to add, and, where the base runs in half precision, an fp32 copy of the input that is
kept for the backward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _LowRank(torch.autograd.Function):
    """Adds to the layer's output in place; keeps the layer's input as it is and the hidden values."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, x: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
        hidden = _rows(x).to(down.dtype) @ down.T
        hidden *= scale
        ctx.scale = scale
        ctx.save_for_backward(x, hidden, down, up)
        if output.dtype == up.dtype and output.is_contiguous():
            _rows(output).addmm_(hidden, up.T)
        else:
            output += (hidden @ up.T).view(output.shape).to(output.dtype)
        ctx.mark_dirty(output)
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor, Tensor, None]:
        x, hidden, down, up = ctx.saved_tensors
        of_output = _rows(grad).to(up.dtype)
        of_hidden = of_output @ up
        of_hidden *= ctx.scale
        of_x = (of_hidden @ down).view(x.shape).to(x.dtype) if ctx.needs_input_grad[1] else None
        return grad, of_x, of_hidden.T @ _rows(x).to(down.dtype), of_output.T @ hidden, None


def _rows(tensor: Tensor) -> Tensor:
    """(..., n) -> (rows, n)"""
    return tensor.reshape(-1, tensor.shape[-1])


def add_low_rank(output: Tensor, x: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    """`output` (..., out) + scale * (`x` (..., in) `down`^T (in, rank)) `up`^T (rank, out).

    `output` is overwritten: it has to be a layer's own result, which nothing else reads. Computed in the dtype of
    `down` and `up`.
    """
    if output._is_view() or torch.is_inference(output):
        output = output.clone()
    return _LowRank.apply(output, x, down, up, scale)
