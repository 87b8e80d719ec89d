"""A LoRA that training goes on from: what a file holds of each layer, whatever tool wrote it.

Reading a file and finding its layers is the host's part (`host.start_lora`); here its numbers become adapters that do
exactly what the file did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...errors import DanluError
from ..config import LoRAConfig, is_auto

_TAKES = {"lora": ("lora", "rslora", "dora"), "dora": ("dora",), "loha": ("loha",), "lokr": ("lokr",), "oft": ("oft",)}
"""Algorithm of the file -> those that can do the same."""


@dataclass(frozen=True)
class StartLayer:
    """One layer's part of a file. Matrices are flat, (rows, columns); names as in `Adapter.file_tensors`."""

    rank: int
    alpha: float
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class StartLora:
    """A file's layers, by their path in the network."""

    name: str
    identity: str
    """sha256 of the content: another file is another run."""
    algorithm: str
    """lora, dora, loha, lokr or oft."""
    layers: Mapping[str, StartLayer]
    notes: tuple[str, ...] = ()

    def config(self, asked: LoRAConfig) -> LoRAConfig:
        """`asked`, with what it leaves open taken from the file: algorithm, and the size of most layers.

        Raises DanluError when the algorithm that was asked for cannot do what the file does.
        """
        algorithm = self.algorithm if is_auto(asked.algorithm) else asked.algorithm
        if algorithm not in _TAKES[self.algorithm]:
            raise DanluError(
                f"start_lora: '{self.name}' is a file of algorithm {self.algorithm}, with which {algorithm} cannot go "
                "on. Leave algorithm on auto, or start without the file."
            )
        if is_auto(asked.rank):
            ranks = [layer.rank for layer in self.layers.values()]
            return replace(asked, algorithm=algorithm, rank=max(sorted(set(ranks)), key=ranks.count))
        return replace(asked, algorithm=algorithm)

    def inside(self, prefix: str, *, outside: str = "") -> StartLora:
        """The layers whose path starts with `prefix`, named without it; without those below `outside`."""
        layers = {
            path.removeprefix(prefix): layer
            for path, layer in self.layers.items()
            if path.startswith(prefix) and not (outside and path.startswith(outside))
        }
        return replace(self, layers=layers)

    def decides(self, asked: LoRAConfig) -> list[Any]:
        """What of a run's result comes from the file, and which sizes were left to it."""
        return [self.identity, is_auto(asked.rank), is_auto(asked.alpha), is_open(asked)]

    def of_layer(self, name: str, config: LoRAConfig, asked: LoRAConfig) -> LoRAConfig:
        """`config` of the layer at path `name`, with the file's rank and alpha where nothing else was asked for."""
        layer = self.layers.get(name)
        if layer is None or not is_auto(asked.rank):
            return config
        alpha = layer.alpha if is_auto(asked.alpha) else config.alpha * layer.rank / config.rank
        return replace(config, rank=layer.rank, alpha=alpha)


def is_open(asked: LoRAConfig) -> bool:
    """Whether nothing says which layers to train: then the file does."""
    return is_auto(asked.targets) and not asked.include and not asked.exclude


def resized(up: Tensor, down: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """`up` (out, r) and `down` (r, in) as at most `rank` directions: the largest of their product (SVD)."""
    if len(down) <= rank:
        return up, down
    left, upper = torch.linalg.qr(up.double())
    right, lower = torch.linalg.qr(down.double().T)
    u, s, v = torch.linalg.svd(upper @ lower.T)
    root = s[:rank].sqrt()
    return (left @ u[:, :rank]) * root, root[:, None] * (v[:rank] @ right.T)
