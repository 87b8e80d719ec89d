"""LoHa (arXiv:2108.06098, FedPara): the product, number by number, of two matrices of low rank."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...errors import DanluError
from ..config import LoRAConfig
from .base import NAME, Adapter
from .continued import StartLayer

_PARTS = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")


class LohaAdapter(Adapter):
    """W + scale (A1 B1) * (A2 B2), with scale = alpha / rank. As a LoRA of rank squared where that is
    smaller; else the full matrix exists while it is used, never longer."""

    def __init__(self, layer: nn.Module, config: LoRAConfig) -> None:
        super().__init__(layer, config)
        from peft import LoHaConfig
        from peft.tuners.loha.layer import Linear as PeftLinear

        shadow = self.geometry.flat().shadow()
        settings = LoHaConfig(r=config.rank, alpha=config.alpha)  # type: ignore[arg-type]
        made: Any = PeftLinear(shadow, NAME, config=settings, r=config.rank, alpha=config.alpha)
        for part in _PARTS:
            self.register_parameter(part, getattr(made, part)[NAME])
        self.scale = float(made.scaling[NAME])

    def forward(self, x: Tensor) -> Tensor:
        factors = [getattr(self, part) for part in _PARTS]
        return _Recomputed.apply(self._run, self.dropout(x), *factors)

    def _run(self, x: Tensor, *factors: Tensor) -> Tensor:
        from peft.tuners.loha.layer import make_weight

        x = x.to(self.dtype)
        if self._is_thin():
            up, down = _khatri_rao(*factors)
            return self.geometry.point(self.geometry.run(x, down) * self.scale, up)
        return self.geometry.run(x, make_weight(*factors, torch.tensor(self.scale, device=x.device)))

    def _is_thin(self) -> bool:
        """Whether rank squared rows and columns are fewer numbers than the full matrix."""
        rows, columns = self.geometry.out_features, self.geometry.columns
        return self.rank**2 * (rows + columns) < rows * columns

    @torch.no_grad()
    def go_on_from(self, layer: StartLayer) -> None:
        if layer.rank != self.rank:
            raise DanluError(
                f"start_lora: a LoHa of rank {layer.rank} is not one of rank {self.rank}: leave rank at -1."
            )
        for part in _PARTS:
            getattr(self, part).copy_(layer.tensors[part])
        self.hada_w1_a *= layer.alpha / layer.rank / self.scale

    def file_tensors(self) -> dict[str, Tensor]:
        return {**{part: getattr(self, part) for part in _PARTS}, "alpha": torch.tensor(self.alpha)}


def _khatri_rao(w1_a: Tensor, w1_b: Tensor, w2_a: Tensor, w2_b: Tensor) -> tuple[Tensor, Tensor]:
    """(A1 B1) * (A2 B2) as one product of (out, rank^2) and (rank^2, in): that of columns, and that of rows."""
    return torch.einsum("or,os->ors", w1_a, w2_a).flatten(1), torch.einsum("ri,si->rsi", w1_b, w2_b).flatten(0, 1)


class _Recomputed(torch.autograd.Function):
    """Keeps the inputs of `run` and computes it again in backward."""

    @staticmethod
    def forward(ctx: Any, run: Any, *tensors: Tensor) -> Tensor:
        ctx.run = run
        ctx.save_for_backward(*tensors)
        return run(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[1:]
        inputs = [t.detach().requires_grad_(n) for t, n in zip(ctx.saved_tensors, needed, strict=True)]
        with torch.enable_grad():
            output = ctx.run(*inputs)
        found = iter(torch.autograd.grad(output, [t for t in inputs if t.requires_grad], grad))
        return None, *(next(found) if n else None for n in needed)
