"""LoRA that starts from the base weight itself: PiSSA (arXiv:2404.02948) and OLoRA (arXiv:2406.01775)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import LoRAConfig
from .base import NAME, Borrow
from .lora import LoraAdapter

_INITIALISATIONS = {"pissa": "pissa_niter_16", "olora": "olora"}


class PrincipalAdapter(LoraAdapter):
    """scale (B A - B0 A0) beside an untouched weight W.

    A0, B0 are W's leading singular vectors (PiSSA) or the first columns of its QR decomposition (OLoRA), and A, B
    start from them. The papers subtract scale B0 A0 from W once; here it stays frozen beside A and B.
    """

    reads_weight = True

    def __init__(self, layer: nn.Module, config: LoRAConfig) -> None:
        super().__init__(layer, config)
        self._initialisation = _INITIALISATIONS[config.algorithm]
        self._seed = int(torch.randint(2**31, ()))
        self.register_buffer("down_start", torch.zeros_like(self.down.weight))
        self.register_buffer("up_start", torch.zeros_like(self.up.weight))
        self.down_start: Tensor
        self.up_start: Tensor

    @torch.no_grad()
    def start(self, borrow: Borrow) -> None:
        if self.down_start.any():
            return
        down, up = self._factors(borrow)
        # A layer smaller than the rank has no more directions than that; the others start like a LoRA's.
        self.down.weight.flatten(1)[: len(down)] = down.to(self.down.weight)
        self.up.weight.flatten(1)[:, : up.shape[1]] = up.to(self.up.weight)
        self.down_start.copy_(self.down.weight)
        self.up_start.copy_(self.up.weight)

    def _factors(self, borrow: Borrow) -> tuple[Tensor, Tensor]:
        from peft import LoraConfig as PeftConfig
        from peft.tuners.lora.layer import Linear as PeftLinear

        shadow = self.geometry.flat().shadow()
        settings = PeftConfig(r=self.rank, lora_alpha=self.alpha, init_lora_weights=self._initialisation)  # type: ignore[arg-type]
        with borrow(torch.empty(0, device=self.down.weight.device)) as (weight, _):
            # peft subtracts the factors from the weight it is given: a copy, gone after this.
            shadow.weight = nn.Parameter(weight.flatten(1).clone(), requires_grad=False)
        devices = [shadow.weight.device] if shadow.weight.is_cuda else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self._seed)
            made = PeftLinear(shadow, NAME, config=settings, r=self.rank, lora_alpha=self.alpha)  # type: ignore[arg-type]
        return made.lora_A[NAME].weight, made.lora_B[NAME].weight

    def factors(self) -> tuple[Tensor, Tensor]:
        """B A - B0 A0 = [B - B0, B0] [A; A - A0]: small differences are taken once, and survive rounding to 16 bits."""
        down, up = self.down.weight, self.up.weight
        return torch.cat((up - self.up_start, self.up_start), 1), torch.cat((down, down - self.down_start))

    @torch.no_grad()
    def file_tensors(self) -> dict[str, Tensor]:
        """One LoRA of twice the rank."""
        up, down = self.factors()
        alpha = torch.tensor(self.scale * 2 * self.rank)
        return {"lora_up.weight": up, "lora_down.weight": down, "alpha": alpha}
