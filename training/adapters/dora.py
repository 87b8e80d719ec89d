"""DoRA (arXiv:2402.09353): the direction of each row of the weight by LoRA, its length by a number of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..config import LoRAConfig
from .base import Borrow
from .continued import StartLayer
from .lora import LoraAdapter


class DoraAdapter(LoraAdapter):
    """m (W + dW) / |W + dW|, row by row, with dW = scale B A; m starts at |W|.

    |W + dW|^2 = |W|^2 + 2 <W, dW> + |dW|^2 needs no sum W + dW: W A^T of `rank` columns is all that is read of the
    weight at each pass. Unlike the paper's section 4.3 and peft, the gradient goes through the norm: it is exact.
    """

    reads_weight = True

    def __init__(self, layer: nn.Module, config: LoRAConfig) -> None:
        super().__init__(layer, config)
        rows = self.geometry.out_features
        self.magnitude = nn.Parameter(torch.zeros(rows))
        self.register_buffer("base_norm", torch.zeros(rows))
        self.base_norm: Tensor
        self._file_scale: Tensor | None = None

    def start(self, borrow: Borrow) -> None:
        self._borrow = borrow
        if self.base_norm.any():
            return
        with torch.no_grad():
            with borrow(self.magnitude) as (weight, _):
                norm = torch.linalg.vector_norm(weight.flatten(1), dim=1)
            self.base_norm.copy_(norm.clamp_min(torch.finfo(norm.dtype).tiny ** 0.5))
            # What it is of the sum's length: all of it, or what the file says as the host reads it.
            share = 1.0 if self._file_scale is None else self._file_scale.to(norm) / self.base_norm
            self.magnitude.copy_(self._norm()[0] * share)

    def go_on_from(self, layer: StartLayer) -> None:
        super().go_on_from(layer)
        self._file_scale = layer.tensors.get("dora_scale")

    def _norm(self) -> tuple[Tensor, Tensor]:
        """|W + dW| by row, and the layer's bias (zeros where it has none)."""
        down, up = self.down.weight.flatten(1), self.up.weight.flatten(1)
        product, bias = _BaseProduct.apply(self._borrow, down)
        inner = (product * up).sum(1)
        square = ((up @ (down @ down.T)) * up).sum(1)
        # A form that is exactly 1 where dW is 0.
        growth = (2 * self.scale * inner + self.scale**2 * square) / self.base_norm**2
        return self.base_norm * torch.sqrt((1 + growth).clamp_min(1e-12)), bias

    def adapted(self, x: Tensor, output: Tensor) -> Tensor:
        norm, bias = self._norm()
        factor = self.geometry.over_channels(self.magnitude / norm)
        plain = output.to(self.dtype) - self.geometry.over_channels(bias)
        change = (factor - 1) * plain + factor * self(x)
        return output + change.to(output.dtype)

    @torch.no_grad()
    def file_tensors(self) -> dict[str, Tensor]:
        """The host divides by |W| and not by |W + dW|: the difference goes into its `dora_scale`."""
        scale = self.magnitude * self.base_norm / self._norm()[0]
        shape = (-1, *(1 for _ in self.geometry.weight_shape[1:]))
        return {**super().file_tensors(), "dora_scale": scale.view(shape)}


class _BaseProduct(torch.autograd.Function):
    """W A^T (out, rank) of a borrowed weight W and A (rank, in), and the bias; keeps the way to borrow only."""

    @staticmethod
    def forward(ctx: Any, borrow: Borrow, matrix: Tensor) -> tuple[Tensor, Tensor]:
        ctx.borrow = borrow
        with borrow(matrix) as (weight, bias):
            rows = weight.flatten(1)
            kept = rows.new_zeros(len(rows)) if bias is None else bias.clone()
            ctx.mark_non_differentiable(kept)
            return rows @ matrix.T, kept

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _bias: Tensor) -> tuple[None, Tensor]:
        with ctx.borrow(grad) as (weight, _):
            return None, grad.T @ weight.flatten(1)
