"""LoRA (arXiv:2106.09685) on linear layers and convolutions, and rsLoRA (arXiv:2312.03732)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import LoRAConfig
from .base import NAME, Adapter
from .continued import StartLayer, resized
from .low_rank import add_low_rank


class LoraAdapter(Adapter):
    """W + scale B A, with scale = alpha / rank, and alpha / sqrt(rank) for rsLoRA."""

    def __init__(self, layer: nn.Module, config: LoRAConfig) -> None:
        super().__init__(layer, config)
        from peft import LoraConfig as PeftConfig
        from peft.tuners.lora import layer as peft

        shadow = self.geometry.shadow()
        rslora = config.algorithm == "rslora"
        settings = PeftConfig(r=config.rank, lora_alpha=config.alpha, use_rslora=rslora)  # type: ignore[arg-type]
        kind = getattr(peft, type(shadow).__name__)
        made = kind(shadow, NAME, config=settings, r=config.rank, lora_alpha=config.alpha)
        self.down = made.lora_A[NAME]
        self.up = made.lora_B[NAME]
        self.scale = float(made.scaling[NAME])

    def factors(self) -> tuple[Tensor, Tensor]:
        """What is multiplied: (out, r, ...) and (r, in, ...)."""
        return self.up.weight, self.down.weight

    def forward(self, x: Tensor) -> Tensor:
        up, down = self.factors()
        hidden = self.geometry.run(self.dropout(x.to(self.dtype)), down)
        # Scaled where it is small.
        return self.geometry.point(hidden * self.scale, up)

    @torch.no_grad()
    def go_on_from(self, layer: StartLayer) -> None:
        """A larger rank keeps the new rows of A as they are drawn, beside zeros in B; a smaller one is the best
        approximation."""
        scale = layer.alpha / layer.rank / self.scale
        up, down = resized(layer.tensors["lora_up.weight"], layer.tensors["lora_down.weight"], self.rank)
        self.down.weight.flatten(1)[: len(down)] = down.to(self.dtype)
        self.up.weight.flatten(1)[:, : len(down)] = (up * scale).to(self.dtype)

    def adapted(self, x: Tensor, output: Tensor) -> Tensor:
        if not self.geometry.on_points:
            return super().adapted(x, output)
        up, down = (factor.flatten(1) for factor in self.factors())
        return add_low_rank(output, self.dropout(x), down, up, self.scale, channels_first=bool(self.geometry.kernel))

    def outer_parameters(self) -> list[nn.Parameter]:
        return [self.up.weight]

    def file_tensors(self) -> dict[str, Tensor]:
        """The host scales by alpha / rank and by 1 when there is no alpha: rsLoRA's is alpha sqrt(rank)."""
        return {
            "lora_up.weight": self.up.weight,
            "lora_down.weight": self.down.weight,
            "alpha": torch.tensor(self.scale * self.rank),
        }
