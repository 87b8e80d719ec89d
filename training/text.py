"""The text encoder as something that is trained: embeddings are computed at each step, and gradients reach them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from .adapters import AdapterSet
from .checkpointing import checkpointed
from .config import LoRAConfig
from .data import Conditioning, TensorCache, TrainingData
from .targets import select

PREFIX = "text_encoders."
"""Before the path of each layer in a LoRA file, as the host's loaders read them."""

_ATTENTION = re.compile("attn|attention", re.IGNORECASE)
_EYES = re.compile("visual|vision", re.IGNORECASE)
"""The part of a vision-language model that no caption goes through."""


class TextModel(Protocol):
    """A frozen text encoder. `host.text.HostText` is the real one; the base model's loan loads it too."""

    @property
    def identity(self) -> str:
        """What it is, by content (`host.identity`)."""
        ...

    @property
    def network(self) -> nn.Module: ...

    @property
    def device(self) -> torch.device: ...

    def borrowed(self) -> AbstractContextManager[None]:
        """Lends it: inside, gradients flow through it. Entered while the base model is lent."""
        ...

    def lend(self, layer: nn.Module, like: Tensor) -> AbstractContextManager[tuple[Tensor, Tensor | None]]:
        """As `training.model.BaseModel.lend`."""
        ...

    def encode(self, caption: str) -> Conditioning:
        """With gradients."""
        ...


@dataclass(frozen=True)
class TrainedText:
    """A text encoder and the adapters beside its layers."""

    model: TextModel
    adapters: AdapterSet

    @contextmanager
    def lent(self) -> Iterator[None]:
        """The text encoder with its adapters, for the time of the context; while the base model is lent."""
        with ExitStack() as stack:
            stack.enter_context(self.model.borrowed())
            self.adapters.to(self.model.device).train()
            self.adapters.start(self.model.network, self.model.lend)
            stack.enter_context(self.adapters.attached(self.model.network))
            # Its layers change their inputs in place: only so are the gradients right, and it is small.
            blocks = text_blocks(self.model.network)
            stack.enter_context(checkpointed(self.model.network, dict(self.adapters.adapters), blocks))
            yield

    def live(self, data: TrainingData) -> TrainingData:
        """`data` with captions encoded when they are asked for."""
        return replace(data, cache=_LiveCache(data.cache, self.model))


def text_config(config: LoRAConfig) -> LoRAConfig:
    """The text encoder's own: patterns and rules are about the paths of the diffusion model."""
    targets = "attention" if config.targets == "attention" else "attention+mlp"
    return replace(config, targets=targets, include="", exclude="", per_block="")


def text_layers(network: nn.Module, config: LoRAConfig) -> dict[str, nn.Module]:
    """Path -> layer: attention, or attention and MLP, of every block."""
    blocks = tuple(f"{path}." for path in text_blocks(network))
    layers = select(network, text_config(replace(config, targets="attention+mlp")))
    names = [name for name in layers if name.startswith(blocks) and not _EYES.search(name)]
    if config.targets == "attention":
        names = [name for name in names if _ATTENTION.search(name)]
    return {name: layers[name] for name in names}


def text_blocks(network: nn.Module) -> dict[str, nn.Module]:
    """The outermost members of lists: the layers of a transformer, whatever its class."""
    found: dict[str, nn.Module] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.ModuleList) and not any(name.startswith(f"{outer}.") for outer in found):
            found |= {f"{name}.{i}": member for i, member in enumerate(module)}
    return found


@dataclass(frozen=True)
class _LiveCache:
    """A cache whose conditionings are computed anew, with what they were before training beside them."""

    cache: TensorCache
    model: TextModel

    def latent(self, key: str) -> Tensor:
        return self.cache.latent(key)

    def conditioning(self, caption: str) -> Conditioning:
        return replace(self.model.encode(caption), untrained=self.cache.conditioning(caption))
