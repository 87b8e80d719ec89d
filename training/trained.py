"""What a run trains: adapters of the network, and of the text encoder where that is trained too."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ..errors import DanluError
from .adapters import AdapterSet, StartLora
from .adapters.continued import is_open
from .config import LoRAConfig
from .model import BaseModel
from .rng import derive_seed
from .targets import is_conv, is_linear, select
from .text import PREFIX, TextModel, TrainedText, text_config, text_layers

NETWORK = "diffusion_model."


@dataclass(frozen=True)
class Trained:
    network: AdapterSet
    text: TrainedText | None = None

    @classmethod
    def create(
        cls,
        model: BaseModel,
        config: LoRAConfig,
        seed: int,
        asked: LoRAConfig,
        start: StartLora | None = None,
        text: TextModel | None = None,
    ) -> Trained:
        """New adapters, or the ones that `start` goes on with. `config` resolved, `asked` as the user left it."""
        own = start.inside("", outside=PREFIX) if start else None
        layers = chosen_layers(model.network, config, asked, own)
        network = AdapterSet.continuing(layers, config, seed, own, asked)
        if text is None:
            return cls(network)
        theirs = start.inside(PREFIX) if start else None
        adapters = AdapterSet.continuing(
            text_layers(text.network, config), text_config(config), derive_seed(seed, "text"), theirs, asked
        )
        return cls(network, TrainedText(text, adapters))

    def stems(self) -> list[str]:
        """What a file calls the layers."""
        text = self.text.adapters.adapters if self.text else ()
        return [*(f"{NETWORK}{name}" for name in self.network.adapters), *(f"{PREFIX}{name}" for name in text)]

    def parameters(self) -> list[nn.Parameter]:
        return [*self.network.parameters(), *(self.text.adapters.parameters() if self.text else [])]

    def state_dict(self) -> dict[str, Tensor]:
        """As `AdapterSet.state_dict`."""
        text = self.text.adapters.state_dict(PREFIX) if self.text else {}
        return {**self.network.state_dict(NETWORK), **text}


def chosen_layers(
    network: nn.Module, config: LoRAConfig, asked: LoRAConfig, start: StartLora | None
) -> dict[str, nn.Module]:
    """Path -> layer, in the network's order: what `config` selects, with all that the file `start` holds.

    Where nothing was asked for, the file alone says which.
    """
    if start is None:
        return select(network, config)
    for path in start.layers:
        layer = network.get_submodule(path)
        if not (is_linear(layer) or is_conv(layer)):
            raise DanluError(f"start_lora: '{start.name}' changes {path}, which is no layer that an adapter fits.")
    wanted = start.layers.keys() if is_open(asked) else start.layers.keys() | select(network, config).keys()
    return {name: layer for name, layer in network.named_modules() if name in wanted}
