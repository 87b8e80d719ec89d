"""A base model of plain torch modules: what the trainer sees of a host, without one."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from danlu.training.config import LoRAConfig, TrainingConfig
from danlu.training.data import Conditioning, Entry, Size, TrainingData
from danlu.training.families import Resolved, resolve
from danlu.training.formats import FileNames, Part
from danlu.training.memory import Card
from danlu.training.model import RowCondition
from danlu.training.objective import Prediction

CHANNELS, SIDE, WIDTH, TEXT = 2, 4, 16, 6


def seeded(name: str, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))


class ToyBlock(nn.Module):
    """Changes its input in place, as the blocks of Flux do."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        x += self.second(torch.tanh(self.first(x) + condition))
        x *= 1.0 + 0.1 * torch.sin(x)
        return x


class ToyNetwork(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.image_in = nn.Linear(CHANNELS * SIDE * SIDE, WIDTH)
        self.text_in = nn.Linear(TEXT, WIDTH)
        self.blocks = nn.ModuleList([ToyBlock(), ToyBlock()])
        self.out = nn.Linear(WIDTH, CHANNELS * SIDE * SIDE)
        for name, parameter in self.named_parameters():
            scale = parameter.shape[-1] ** -0.5
            parameter.data.copy_(seeded(f"{seed} {name}", *parameter.shape) * scale)
            parameter.requires_grad_(False)

    def forward(self, x: Tensor, sigma: Tensor, text: Tensor) -> Tensor:
        condition = self.text_in(text.mean(1)) + sigma[:, None]
        hidden = self.image_in(x.flatten(1))
        for block in self.blocks:
            hidden = block(hidden, condition)
        return self.out(hidden).view_as(x)


@dataclass
class ToyModel:
    """`training.model.BaseModel` over a `ToyNetwork`."""

    network: nn.Module = field(default_factory=ToyNetwork)
    family: str = "flux"
    prediction: Prediction = Prediction.FLOW
    sigmas: Tensor | None = None
    shift: float = 1.0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    calls: list[tuple[int, ...]] = field(default_factory=list)
    """Shapes of all inputs of `predict`."""
    lent: list[tuple[str, int]] = field(default_factory=list)
    """Precision and memory of every loan."""
    memory: Card = field(default_factory=lambda: Card("card", 1 << 30, 1 << 30, base=1 << 10))

    def card(self) -> Card:
        return self.memory

    def sampling_memory(self, latent_shape: Sequence[int]) -> int:
        return 1000 * math.prod(latent_shape)

    @contextmanager
    def borrowed(self, precision: str, memory: int) -> Iterator[None]:
        self.lent.append((precision, memory))
        with torch.inference_mode(False), torch.enable_grad():
            yield

    @contextmanager
    def lend(self, layer: nn.Module, like: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        weight, bias = layer.weight, layer.bias
        yield weight.to(like), None if bias is None else bias.to(like)

    def tokens(self, latent_shape: Sequence[int]) -> int:
        return latent_shape[-2] * latent_shape[-1]

    def file_names(self, stems: Sequence[str]) -> FileNames:
        names = {stem: (Part(stem.replace(".", "_")),) for stem in stems}
        return FileNames(kohya=names, diffusers=names)

    def prepare_latent(self, latent: Tensor) -> Tensor:
        return latent * 2.0

    def groups(self, rows: Sequence[RowCondition], latent_shape: torch.Size) -> list[list[int]]:
        groups: dict[int, list[int]] = {}
        for i, row in enumerate(rows):
            groups.setdefault(row.text.cross_attn.shape[1], []).append(i)
        return list(groups.values())

    def predict(self, noisy: Tensor, sigma: Tensor, rows: Sequence[RowCondition]) -> Tensor:
        self.calls.append(tuple(noisy.shape))
        text = torch.cat([row.text.cross_attn for row in rows])
        return self.network(noisy, sigma, text)


@dataclass(frozen=True)
class ToyCache:
    tokens: Callable[[str], int]

    def latent(self, key: str) -> Tensor:
        return seeded(key, CHANNELS, SIDE, SIDE)

    def conditioning(self, caption: str) -> Conditioning:
        return Conditioning(seeded(f"text {caption}", 1, self.tokens(caption), TEXT))


def entry(name: str, repeats: int = 1, size: Size = (32, 32), captions: tuple[str, ...] = ()) -> Entry:
    return Entry(
        name=f"{name}.png",
        image_key=name,
        captions=captions or (f"a {name}",),
        latent_key=f"latent {name}",
        flipped_latent_key=None,
        repeats=repeats,
        original_size=size,
        crop=(0, 0),
        target_size=size,
    )


def training_data(
    count: int = 4, tokens: Callable[[str], int] = lambda _caption: 3, entries: tuple[Entry, ...] = ()
) -> TrainingData:
    entries = entries or tuple(entry(f"picture{i}") for i in range(count))
    return TrainingData(entries, ToyCache(tokens), "trig", "fingerprint", len(entries))


def settings(lora: dict[str, object] | None = None, **training: object) -> Resolved:
    """Resolved configs of tests: every layer, no warmup, nothing dropped."""
    quick: dict[str, object] = {"caption_dropout": 0.0, "warmup_steps": 0, "learning_rate": 1e-2, **training}
    config = TrainingConfig(**quick)  # type: ignore[arg-type]
    adapters = LoRAConfig(**{"rank": 4, "targets": "all-linear", **(lora or {})})  # type: ignore[arg-type]
    return resolve("flux", True, adapters, config, steps=20)
