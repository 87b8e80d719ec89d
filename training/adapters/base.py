"""What every algorithm shares: an adapter beside one frozen layer, and that layer's geometry."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..config import LoRAConfig
from .continued import StartLayer

NAME = "default"
"""peft's name for the one adapter of a layer."""

Loan = AbstractContextManager[tuple[Tensor, Tensor | None]]
"""A layer's weight and bias, for the time of a context: they may be a buffer that the next layer overwrites."""
Borrow = Callable[[Tensor], Loan]
"""Lends one layer's weight and bias in the dtype and on the device of the tensor it is given."""
Lender = Callable[[nn.Module, Tensor], Loan]
"""`Borrow` for any layer."""

_CONVOLUTIONS = (torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d)


@dataclass(frozen=True)
class Geometry:
    """Sizes of a linear or convolution layer, and how its input meets a weight."""

    out_features: int
    in_features: int
    kernel: tuple[int, ...] = ()
    """Empty for linear layers."""
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] | str = ()
    dilation: tuple[int, ...] = ()

    @classmethod
    def of(cls, layer: nn.Module) -> Geometry:
        sizes: Any = layer
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            return cls(
                sizes.out_channels, sizes.in_channels, sizes.kernel_size, sizes.stride, sizes.padding, sizes.dilation
            )
        return cls(int(sizes.out_features), int(sizes.in_features))

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.out_features, self.in_features, *self.kernel)

    @property
    def on_points(self) -> bool:
        """Whether the layer is a matrix at every place by itself: linear, or a convolution of one pixel."""
        at_once = all(size == 1 for size in (*self.kernel, *self.stride))
        return at_once and self.padding in ((), "same", "valid", (0,) * len(self.kernel))

    @property
    def columns(self) -> int:
        """Of the weight as a matrix: inputs of one output number."""
        return self.in_features * prod(self.kernel)

    def run(self, x: Tensor, weight: Tensor) -> Tensor:
        """The layer with another weight, (n, in, *kernel) or flattened, without a bias."""
        if not self.kernel:
            return torch.nn.functional.linear(x, weight)
        conv: Any = _CONVOLUTIONS[len(self.kernel) - 1]
        return conv(x, weight.view(len(weight), -1, *self.kernel), None, self.stride, self.padding, self.dilation)

    def point(self, x: Tensor, weight: Tensor) -> Tensor:
        """`weight` (n, channels) on the channels of what `run` gave."""
        if not self.kernel:
            return torch.nn.functional.linear(x, weight)
        conv: Any = _CONVOLUTIONS[len(self.kernel) - 1]
        return conv(x, weight.view(*weight.shape[:2], *(1 for _ in self.kernel)))

    def over_channels(self, values: Tensor) -> Tensor:
        """(out,) -> shaped so that it meets the channels of the layer's output."""
        return values.view(-1, *(1 for _ in self.kernel))

    def shadow(self) -> nn.Module:
        """A layer of the same sizes whose weight is one number, expanded: peft reads sizes and device from it."""
        shadow: nn.Module
        if self.kernel:
            kind: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(self.kernel) - 1]
            shadow = kind(self.in_features, self.out_features, self.kernel, bias=False, device="meta")
        else:
            shadow = nn.Linear(self.in_features, self.out_features, bias=False, device="meta")
        shadow.weight = nn.Parameter(torch.zeros(1).expand(shadow.weight.shape), requires_grad=False)
        return shadow

    def flat(self) -> Geometry:
        """The linear layer whose weight is this one's as a matrix."""
        return Geometry(self.out_features, self.columns)


class Adapter(nn.Module):
    """One adapter beside one frozen layer, which it neither owns nor changes.

    `forward` gives what to add to the layer's output; algorithms whose effect depends on that output or on the
    layer's weight override `adapted` and `start`.
    """

    reads_weight: ClassVar[bool] = False
    """Whether `start` has to come before the first forward pass and before `file_tensors`."""

    def __init__(self, layer: nn.Module, config: LoRAConfig) -> None:
        """`config` resolved, with the rank and alpha of this very layer."""
        super().__init__()
        self.geometry = Geometry.of(layer)
        self.rank, self.alpha = config.rank, float(config.alpha)
        self.dropout = nn.Dropout(config.dropout) if config.dropout > 0 else nn.Identity()
        self.lr_scale = 1.0
        """Of the learning rate, for this layer."""
        self.active = True
        """Off: the layer answers as if nothing was beside it (`AdapterSet.silent`)."""

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def forward(self, x: Tensor) -> Tensor:
        """What to add to the layer's output for its input `x`, in the adapter's own dtype."""
        raise NotImplementedError

    def adapted(self, x: Tensor, output: Tensor) -> Tensor:
        """The layer's output for its input `x`, with the adapter's effect."""
        return output + self(x).to(output.dtype)

    def start(self, borrow: Borrow) -> None:
        """Called whenever the layer's weight can be read, with the way to read it: kept, while no weight ever is."""

    def go_on_from(self, layer: StartLayer) -> None:
        """Takes over what a file holds of this layer: from here on the same effect. Before `start`.

        Raises DanluError when an adapter of this size cannot do the same.
        """
        raise NotImplementedError

    def outer_parameters(self) -> list[nn.Parameter]:
        """Those that LoRA+ moves faster: the matrix that starts at zero; none where there is no such pair."""
        return []

    def file_tensors(self) -> dict[str, Tensor]:
        """The adapter as the host's loaders read it: key suffix -> tensor."""
        raise NotImplementedError
