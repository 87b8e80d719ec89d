"""All adapters of a run: made, attached, written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ..config import LoRAConfig
from ..per_block import layer_config
from ..rng import derive_seed
from .base import Adapter, Lender
from .continued import StartLora


def create_adapter(layer: nn.Module, config: LoRAConfig, dtype: torch.dtype, seed: int) -> Adapter:
    """`config` resolved, with the rank and alpha of this layer; `seed` decides the start values.

    Parameters on the CPU. A new adapter changes nothing: one of its factors starts at zero, or at what is taken off.
    """
    kind = _kind(config.algorithm)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapter = kind(layer, config)
    return adapter.to(dtype).requires_grad_(True)


def _kind(algorithm: str) -> type[Adapter]:
    from .dora import DoraAdapter
    from .loha import LohaAdapter
    from .lokr import LokrAdapter
    from .lora import LoraAdapter
    from .oft import OftAdapter
    from .principal import PrincipalAdapter

    kinds: dict[str, type[Adapter]] = {
        "lora": LoraAdapter,
        "rslora": LoraAdapter,
        "dora": DoraAdapter,
        "pissa": PrincipalAdapter,
        "olora": PrincipalAdapter,
        "loha": LohaAdapter,
        "lokr": LokrAdapter,
        "oft": OftAdapter,
    }
    return kinds[algorithm]


@dataclass(frozen=True)
class AdapterSet:
    """All adapters of a run, by the path of their layer in the network."""

    adapters: Mapping[str, Adapter]

    @classmethod
    def create(
        cls, layers: Mapping[str, nn.Module], config: LoRAConfig, seed: int, dtype: torch.dtype = torch.float32
    ) -> AdapterSet:
        """New adapters for `layers` (path -> layer). Each starts from hash(seed, path): no order matters."""
        return cls.continuing(layers, config, seed, None, config, dtype)

    @classmethod
    def continuing(
        cls,
        layers: Mapping[str, nn.Module],
        config: LoRAConfig,
        seed: int,
        start: StartLora | None,
        asked: LoRAConfig,
        dtype: torch.dtype = torch.float32,
    ) -> AdapterSet:
        """As `create`, for layers that the file `start` holds with its values; `asked` is the config unresolved."""
        adapters: dict[str, Adapter] = {}
        # Nodes run in inference mode, whose tensors autograd refuses.
        with torch.inference_mode(False):
            for name, layer in layers.items():
                of_layer, lr_scale = layer_config(name, config)
                known = start.layers.get(name) if start else None
                if start and (of_layer.rank, of_layer.alpha) == (config.rank, config.alpha):
                    of_layer = start.of_layer(name, of_layer, asked)
                adapter = create_adapter(layer, of_layer, torch.float32, derive_seed(seed, "init", name))
                if known:
                    adapter.go_on_from(known)
                adapter.lr_scale = lr_scale
                adapters[name] = adapter.to(dtype)
        return cls(adapters)

    def parameters(self) -> list[nn.Parameter]:
        return [p for adapter in self.adapters.values() for p in adapter.parameters()]

    def to(self, device: torch.device | str) -> AdapterSet:
        for adapter in self.adapters.values():
            adapter.to(device)
        return self

    def train(self, mode: bool = True) -> None:
        for adapter in self.adapters.values():
            adapter.train(mode)

    def start(self, network: nn.Module, lend: Lender) -> None:
        """Lets algorithms that depend on the base weights read them. Once the model is loaded, before any pass.

        What they keep is the way to read (`lend`) and vectors, never a weight. Values that were loaded stay.
        """
        if not any(adapter.reads_weight for adapter in self.adapters.values()):
            return
        modules = dict(network.named_modules())
        for name, adapter in self.adapters.items():
            adapter.start(partial(lend, modules[name]))

    @contextmanager
    def attached(self, network: nn.Module) -> Iterator[None]:
        """Gives every layer's output its adapter's effect, for the time of the context."""
        modules = dict(network.named_modules())
        handles = [modules[name].register_forward_hook(_hook(a)) for name, a in self.adapters.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """The network as it is without any adapter, for the time of the context."""
        for adapter in self.adapters.values():
            adapter.active = False
        try:
            yield
        finally:
            for adapter in self.adapters.values():
                adapter.active = True

    def state_dict(self, prefix: str = "diffusion_model.") -> dict[str, Tensor]:
        """Copies on the CPU, named as the host's loaders read them for every family: `<prefix><path>.<suffix>`.

        For LoRA `lora_up.weight` (out, rank), `lora_down.weight` (rank, in), `alpha` (): the host scales by
        alpha / rank, and by 1 when the key is missing.
        """
        return {
            f"{prefix}{name}.{suffix}": _copy(tensor)
            for name, adapter in self.adapters.items()
            for suffix, tensor in adapter.file_tensors().items()
        }

    def training_state(self) -> dict[str, Tensor]:
        """Copies on the CPU of everything that training goes on from, `<path>.<tensor>`: more than the file holds."""
        return {
            f"{name}.{key}": tensor.detach().to("cpu", copy=True)
            for name, adapter in self.adapters.items()
            for key, tensor in adapter.state_dict().items()
        }

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """The counterpart of `training_state`, for a set made from the same layers and config."""
        for name, adapter in self.adapters.items():
            adapter.load_state_dict({key: state[f"{name}.{key}"] for key in adapter.state_dict()})


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32, copy=True).contiguous()


def _hook(adapter: Adapter):  # noqa: ANN202 - torch's own hook type
    def add(_module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return adapter.adapted(args[0], output) if adapter.active else output

    return add
