"""Which layers a run trains and which it leaves out, in groups that a person can look over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from torch import nn

from .adapters import AdapterSet
from .adapters.base import Geometry
from .targets import is_conv, is_linear


@dataclass(frozen=True)
class LayerGroup:
    """Layers of one kind: the same place in every block, the same shape."""

    block: str
    """The list of blocks that they are in ("double_blocks"), or their own first name."""
    name: str
    """Their path with * for numbers, without `block`; "" where nothing is left."""
    shape: tuple[int, ...]
    """(out, in, *kernel) of the weight."""
    count: int
    parameters: int
    """Trained ones of all of them: of their adapters; of the base where they are left out."""
    ranks: tuple[int, ...] = ()

    @property
    def shown_shape(self) -> str:
        out, into, *kernel = self.shape
        sides = " × ".join(map(str, kernel))
        return f"{into} → {out}" + (f", {sides}" if kernel else "")


def trained_layers(network: nn.Module, adapters: AdapterSet) -> list[LayerGroup]:
    """In the network's order."""
    sizes = {path: sum(p.numel() for p in adapter.parameters()) for path, adapter in adapters.adapters.items()}
    ranks = {path: adapter.rank for path, adapter in adapters.adapters.items()}
    modules = dict(network.named_modules())
    return _grouped({path: modules[path] for path in sizes}, sizes, ranks)


def left_out_layers(network: nn.Module, adapters: AdapterSet) -> list[LayerGroup]:
    """Linear and convolution layers without an adapter."""
    layers = {
        path: module
        for path, module in network.named_modules()
        if path not in adapters.adapters and (is_linear(module) or is_conv(module))
    }
    sizes = {path: _weights(module) for path, module in layers.items()}
    return _grouped(layers, sizes, {})


def by_block(groups: Iterable[LayerGroup]) -> dict[str, list[LayerGroup]]:
    """Block -> its groups, in order."""
    ordered = sorted(groups, key=lambda group: group.block)  # stable: order inside a block stays
    found = {block: list(members) for block, members in groupby(ordered, key=lambda group: group.block)}
    first = {group.block: None for group in groups}
    return {block: found[block] for block in first}


def _weights(module: nn.Module) -> int:
    geometry = Geometry.of(module)
    return geometry.out_features * geometry.columns


def _grouped(layers: Mapping[str, nn.Module], sizes: Mapping[str, int], ranks: Mapping[str, int]) -> list[LayerGroup]:
    members: dict[tuple[str, str, tuple[int, ...]], list[str]] = {}
    for path, module in layers.items():
        key = (*_place(path), Geometry.of(module).weight_shape)
        members.setdefault(key, []).append(path)
    return [
        LayerGroup(
            block,
            name,
            shape,
            len(paths),
            sum(sizes[path] for path in paths),
            tuple(sorted({ranks[path] for path in paths if path in ranks})),
        )
        for (block, name, shape), paths in members.items()
    ]


def _place(path: str) -> tuple[str, str]:
    """(block, name inside it) with numbers as *: "double_blocks.3.img_mlp.0" -> ("double_blocks", "img_mlp.*")."""
    block, _, rest = path.partition(".")
    names = ["*" if name.isdigit() else name for name in rest.split(".")] if rest else []
    while names and names[0] == "*":
        names.pop(0)
    return block, re.sub(r"\*(\.\*)+", "*", ".".join(names))
