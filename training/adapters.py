"""LoRA adapters that live beside the layers of a frozen network.

peft supplies parameters, initialisation and maths through its own layer classes, built over a shadow of the real
layer (same shape, no storage); a forward hook adds the adapter's output to that of the real layer, which runs
unchanged and is never owned, renamed or replaced. `peft.inject_adapter_in_model` can do none of that: it moves the
base layer into a wrapper, gives the adapter the base's dtype (fp8 has no `mul`) and has no undo.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .config import LoRAConfig
from .rng import derive_seed
from .targets import is_conv

log = logging.getLogger(__name__)

_NAME = "default"
"""peft's name for the one adapter of a layer."""


class Adapter(nn.Module):
    """One LoRA (arXiv:2106.09685) beside one linear or convolution layer: scale * B(A(dropout(x)))."""

    def __init__(self, layer: nn.Module, config: LoRAConfig, dtype: torch.dtype, seed: int) -> None:
        """`config` resolved; `seed` decides the start values (B starts at zero). Parameters on the CPU."""
        super().__init__()
        from peft import LoraConfig as PeftConfig
        from peft.tuners.lora.layer import Conv2d as PeftConv2d
        from peft.tuners.lora.layer import Linear as PeftLinear

        peft_config = PeftConfig(r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout)
        kind = PeftConv2d if is_conv(layer) else PeftLinear
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            peft_layer = kind(
                _shadow(layer), _NAME, config=peft_config, r=config.rank, lora_alpha=config.alpha
            )
        self.down = peft_layer.lora_A[_NAME].to(dtype)
        self.up = peft_layer.lora_B[_NAME].to(dtype)
        self.dropout = peft_layer.lora_dropout[_NAME]
        self.scale = float(peft_layer.scaling[_NAME])
        self.alpha = float(config.alpha)
        self.requires_grad_(True)

    def forward(self, x: Tensor) -> Tensor:
        """What to add to the layer's output for its input `x`, in the adapter's own dtype."""
        return self.up(self.down(self.dropout(x.to(self.down.weight.dtype)))) * self.scale


def _shadow(layer: nn.Module) -> nn.Module:
    """A layer of the same shape whose weight is one number, expanded: peft reads sizes and device from it."""
    shadow: nn.Module
    if isinstance(layer, nn.Conv2d):
        shadow = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            bias=False,
            device="meta",
        )
    else:
        sizes: Any = layer
        shadow = nn.Linear(int(sizes.in_features), int(sizes.out_features), bias=False, device="meta")
    shadow.weight = nn.Parameter(torch.zeros(1).expand(shadow.weight.shape), requires_grad=False)
    return shadow


@dataclass(frozen=True)
class AdapterSet:
    """All adapters of a run, by the path of their layer in the network."""

    adapters: Mapping[str, Adapter]

    @classmethod
    def create(
        cls, layers: Mapping[str, nn.Module], config: LoRAConfig, seed: int, dtype: torch.dtype = torch.float32
    ) -> AdapterSet:
        """New adapters for `layers` (path -> layer). Each starts from hash(seed, path): no order matters."""
        # Nodes run in inference mode, whose tensors autograd refuses.
        with torch.inference_mode(False):
            return cls(
                {
                    name: Adapter(layer, config, dtype, derive_seed(seed, "init", name))
                    for name, layer in layers.items()
                }
            )

    def parameters(self) -> list[nn.Parameter]:
        return [p for adapter in self.adapters.values() for p in adapter.parameters()]

    def to(self, device: torch.device | str) -> AdapterSet:
        for adapter in self.adapters.values():
            adapter.to(device)
        return self

    def train(self, mode: bool = True) -> None:
        for adapter in self.adapters.values():
            adapter.train(mode)

    @contextmanager
    def attached(self, network: nn.Module) -> Iterator[None]:
        """Adds every adapter's output to its layer's, for the time of the context."""
        modules = dict(network.named_modules())
        handles = [modules[name].register_forward_hook(_hook(a)) for name, a in self.adapters.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def state_dict(self, prefix: str = "diffusion_model.") -> dict[str, Tensor]:
        """Copies on the CPU, named as the host's loaders read them for every family.

        `<prefix><path>.lora_up.weight` (out, rank), `.lora_down.weight` (rank, in), `.alpha` (): the host scales
        by alpha / rank, and by 1 when the key is missing.
        """
        state: dict[str, Tensor] = {}
        for name, adapter in self.adapters.items():
            state[f"{prefix}{name}.lora_up.weight"] = _copy(adapter.up.weight)
            state[f"{prefix}{name}.lora_down.weight"] = _copy(adapter.down.weight)
            state[f"{prefix}{name}.alpha"] = torch.tensor(adapter.alpha)
        return state


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32, copy=True).contiguous()


def _hook(adapter: Adapter):  # noqa: ANN202 - torch's own hook type
    def add(_module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + adapter(args[0]).to(output.dtype)

    return add
