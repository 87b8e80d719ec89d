"""LoKr (LyCORIS, arXiv:2309.14859): a Kronecker product, whose larger factor may be of low rank."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from ..config import LoRAConfig
from .base import NAME, Adapter, Geometry
from .continued import StartLayer

_PARTS = ("lokr_w1", "lokr_w2", "lokr_w2_a", "lokr_w2_b")


class LokrAdapter(Adapter):
    """W + scale (W1 x W2), with scale = alpha / rank, applied factor by factor: no full matrix is ever made.

    W1 (l, m), W2 (k, n, *kernel) with l k = out and m n = in; W2 = A B of `rank` where that is smaller.
    """

    def __init__(self, layer: nn.Module, config: LoRAConfig) -> None:
        super().__init__(layer, config)
        from peft import LoKrConfig
        from peft.tuners.lokr import layer as peft

        shadow = _two_dimensional(self.geometry).shadow()
        settings = LoKrConfig(r=config.rank, alpha=config.alpha)  # type: ignore[arg-type]
        kind = getattr(peft, type(shadow).__name__)
        made: Any = kind(shadow, NAME, config=settings, r=config.rank, alpha=config.alpha)
        for part in _PARTS:
            if NAME in getattr(made, part):
                self.register_parameter(part, getattr(made, part)[NAME])
        self.scale = float(made.scaling[NAME])

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(x.to(self.dtype)) * self.scale
        return self._convolved(x) if self.geometry.kernel else self._linear(x)

    def _linear(self, x: Tensor) -> Tensor:
        groups = x.unflatten(-1, (self.lokr_w1.shape[1], -1))
        hidden = self._second(groups, self.geometry)
        return torch.einsum("lm,...mk->...lk", self.lokr_w1, hidden).flatten(-2)

    def _convolved(self, x: Tensor) -> Tensor:
        count = self.lokr_w1.shape[1]
        groups = x.unflatten(1, (count, -1)).flatten(0, 1)
        hidden = self._second(groups, self.geometry).unflatten(0, (len(x), count))
        return torch.einsum("lm,bmk...->blk...", self.lokr_w1, hidden).flatten(1, 2)

    def _second(self, x: Tensor, geometry: Geometry) -> Tensor:
        """W2 on the last (linear) or second (convolution) dimension of each group."""
        if hasattr(self, "lokr_w2"):
            return geometry.run(x, self.lokr_w2.flatten(1) if geometry.kernel else self.lokr_w2)
        return geometry.point(geometry.run(x, self.lokr_w2_b), self.lokr_w2_a)

    @torch.no_grad()
    def go_on_from(self, layer: StartLayer) -> None:
        """Factors of any size: tools divide the layer in other ways."""
        given = dict(layer.tensors)
        if "lokr_w1_a" in given:
            given["lokr_w1"] = given.pop("lokr_w1_a") @ given.pop("lokr_w1_b")
        given["lokr_w1"] = given["lokr_w1"] * (layer.alpha / layer.rank / self.scale)
        for part in _PARTS:
            self._parameters.pop(part, None)
            if part in given:
                self.register_parameter(part, nn.Parameter(given[part].to(torch.float32, copy=True)))

    def file_tensors(self) -> dict[str, Tensor]:
        """The host reads no alpha where both factors are full: there the scale goes into the first."""
        parts = {part: getattr(self, part) for part in _PARTS if hasattr(self, part)}
        if "lokr_w2" in parts:
            return {**parts, "lokr_w1": self.lokr_w1 * self.scale}
        return {**parts, "alpha": torch.tensor(self.alpha)}


def _two_dimensional(geometry: Geometry) -> Geometry:
    """Kernels of one or three dimensions as one of two: peft and the host know no other for a full second factor."""
    if not geometry.kernel:
        return geometry
    *first, last = geometry.kernel
    return replace(geometry, kernel=(prod(first), last))
