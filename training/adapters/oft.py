"""OFT (arXiv:2306.07280) in the form that the host and LyCORIS read: blocks of outputs are rotated."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...errors import DanluError
from ..config import LoRAConfig
from .base import Adapter, Borrow
from .continued import StartLayer


class OftAdapter(Adapter):
    """R W, with R = (I + Q) (I - Q)^-1 block by block and Q = P - P^T; the bias is not rotated.

    `rank` is the size of a block: the largest divisor of the layer's outputs up to it.
    """

    reads_weight = True

    def __init__(self, layer: nn.Module, config: LoRAConfig) -> None:
        super().__init__(layer, config)
        if config.dropout or config.alpha != config.rank:
            raise DanluError(
                "algorithm oft rotates the layer's output: it has neither an alpha nor a dropout. Set both to -1 "
                "(auto), or choose another algorithm."
            )
        rows = self.geometry.out_features
        size = next(size for size in range(min(config.rank, rows), 0, -1) if rows % size == 0)
        self.oft_blocks = nn.Parameter(torch.zeros(rows // size, size, size))
        self.register_buffer("bias", torch.zeros(rows), persistent=False)
        self.bias: Tensor

    @torch.no_grad()
    def start(self, borrow: Borrow) -> None:
        with borrow(self.oft_blocks) as (_, bias):
            if bias is not None:
                self.bias.copy_(bias)

    def _turn(self) -> Tensor:
        """R - I = 2 Q (I - Q)^-1, transposed as the host applies it: (blocks, size, size)."""
        skew = self.oft_blocks - self.oft_blocks.transpose(1, 2)
        unit = torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device)
        return 2 * torch.linalg.solve(unit - skew, skew, left=False)

    def adapted(self, x: Tensor, output: Tensor) -> Tensor:
        dimension = 1 if self.geometry.kernel else -1
        plain = (output.to(self.dtype) - self.geometry.over_channels(self.bias)).movedim(dimension, -1)
        blocks = plain.unflatten(-1, self.oft_blocks.shape[:2])
        change = torch.einsum("knm,...kn->...km", self._turn(), blocks).flatten(-2).movedim(-1, dimension)
        return output + change.to(output.dtype)

    @torch.no_grad()
    def go_on_from(self, layer: StartLayer) -> None:
        if layer.tensors["oft_blocks"].shape != self.oft_blocks.shape:
            size = layer.tensors["oft_blocks"].shape[-1]
            raise DanluError(f"start_lora: an OFT of blocks of {size} is not one of {self.rank}: leave rank at -1.")
        self.oft_blocks.copy_(layer.tensors["oft_blocks"])

    def file_tensors(self) -> dict[str, Tensor]:
        """No alpha: the host would read it as a limit of the rotation."""
        return {"oft_blocks": self.oft_blocks}
