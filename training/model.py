"""What the training loop needs from a base model. `host.model.HostModel` is the real one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from .data import Conditioning, Size
from .formats import FileNames
from .memory import Card
from .objective import Prediction


@dataclass(frozen=True)
class RowCondition:
    """All that steers one row of a batch."""

    text: Conditioning
    original_size: Size
    crop: Size
    target_size: Size
    references: tuple[Tensor, ...] = ()
    """Latents (1, channels, ...) of the pictures that an edit starts from, as the VAE gave them."""
    start: Tensor | None = None
    """What image-to-video models are shown, (1, channels, frames, height, width), as the VAE gave it: the clip's first
    frame, followed by mid grey or alone."""


class BaseModel(Protocol):
    """A frozen diffusion model, lent for the time of training."""

    @property
    def family(self) -> str:
        """Row of `training.families`."""
        ...

    @property
    def prediction(self) -> Prediction: ...

    @property
    def sigmas(self) -> Tensor | None:
        """The noise levels of a discrete schedule, ascending; None for flow models."""
        ...

    @property
    def shift(self) -> float:
        """The flow schedule's own shift (1 where there is none)."""
        ...

    def tokens(self, latent_shape: Sequence[int]) -> int:
        """Tokens that a latent (B, channels, ...) becomes in the network: resolution-dependent shifts go by them."""
        ...

    @property
    def network(self) -> nn.Module:
        """Where adapters are attached."""
        ...

    @property
    def device(self) -> torch.device: ...

    def card(self) -> Card:
        """The memory that there is for training."""
        ...

    def sampling_memory(self, latent_shape: Sequence[int]) -> int:
        """Bytes that sampling a batch (B, channels, ...) is reckoned to take."""
        ...

    def borrowed(self, precision: str, memory: int) -> AbstractContextManager[None]:
        """Loads the model and lends it: inside, gradients flow through it. Undone on exit, whatever happens.

        `memory`: bytes of its device to keep free for training.
        """
        ...

    def lend(self, layer: nn.Module, like: Tensor) -> AbstractContextManager[tuple[Tensor, Tensor | None]]:
        """Weight and bias of one layer of the network in the dtype and on the device of `like`. Keep neither: they
        may be a buffer that the next layer overwrites."""
        ...

    def file_names(self, stems: Sequence[str]) -> FileNames:
        """What the layers `diffusion_model.<path>` are called in each file format."""
        ...

    def prepare_latent(self, latent: Tensor) -> Tensor:
        """(1, channels, ...) as the VAE gave it -> as the network wants it."""
        ...

    def groups(self, rows: Sequence[RowCondition], latent_shape: torch.Size) -> list[list[int]]:
        """Indices of rows that can share one forward pass (text of equal length), in order."""
        ...

    def predict(self, noisy: Tensor, sigma: Tensor, rows: Sequence[RowCondition]) -> Tensor:
        """The network's raw answer (B, ...) to `noisy` (B, ...) at `sigma` (B,); one call with B rows."""
        ...
