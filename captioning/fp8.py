"""Linear layers that keep their weights in eight bits, in plain torch. Imported at use."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn
from torch.nn import functional

STORED = torch.float8_e4m3fn
LARGEST = torch.finfo(STORED).max


class Fp8Linear(nn.Module):
    """W ~ scale · Q, Q in float8_e4m3fn, one scale an output: scale_i = max_j |W_ij| / 448.

    Without scales most of a language model's weights (0.02 or so) would fall where the format is coarse. Multiplied
    out layer by layer, at use, in the type of the input.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12) / LARGEST
        self.weight = nn.Parameter((weight / scale).to(STORED), requires_grad=False)
        self.scale = nn.Parameter(scale, requires_grad=False)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.to(x.dtype) * self.scale.to(x.dtype)
        return functional.linear(x, weight, self.bias)


def store_in_fp8(model: nn.Module, layers: re.Pattern[str]) -> int:
    """Replaces those linear layers whose weight's name `layers` finds; gives their number. Twice is as once."""
    found = [name for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    chosen = [name for name in found if layers.search(f"{name}.weight")]
    for name in chosen:
        parent, _, last = name.rpartition(".")
        owner = model.get_submodule(parent)
        setattr(owner, last, Fp8Linear(getattr(owner, last)))
    return len(chosen)
