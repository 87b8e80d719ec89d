"""The rows of a batch. Everything random about row i of step s comes from (seed, s, i)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .config import TrainingConfig
from .data import Conditioning, Entry, TrainingData
from .model import BaseModel, RowCondition
from .noise import draw_noise
from .rng import generator, uniform
from .timesteps import Timesteps


@dataclass(frozen=True)
class Batch:
    """B rows: latents and noise (B, channels, ...), sigma (B,), and what steers each."""

    latent: Tensor
    noise: Tensor
    sigma: Tensor
    rows: tuple[RowCondition, ...]
    wanted: Tensor | None = None
    """What the network should answer (B, ...), where that does not follow from latent and noise."""
    mask: Tensor | None = None
    """1 where the loss counts in full (B, 1, ..., height, width); None: everywhere."""
    share: Tensor | None = None
    """Of each row's loss in that of the step (B,); None: all alike."""

    def select(self, indices: Sequence[int]) -> Batch:
        where = torch.tensor(indices, device=self.sigma.device)
        optional = (self.wanted, self.mask, self.share)
        wanted, mask, share = (None if tensor is None else tensor[where] for tensor in optional)
        rows = tuple(self.rows[i] for i in indices)
        return Batch(self.latent[where], self.noise[where], self.sigma[where], rows, wanted, mask, share)


def joined(batches: Sequence[Batch]) -> Batch:
    """One after the other. All of them have a `wanted` and a `share`, or none has."""
    return Batch(
        latent=torch.cat([batch.latent for batch in batches]),
        noise=torch.cat([batch.noise for batch in batches]),
        sigma=torch.cat([batch.sigma for batch in batches]),
        rows=tuple(condition for batch in batches for condition in batch.rows),
        mask=_joined_masks(batches),
        wanted=_joined([batch.wanted for batch in batches]),
        share=_joined([batch.share for batch in batches]),
    )


def _joined(tensors: Sequence[Tensor | None]) -> Tensor | None:
    present = [tensor for tensor in tensors if tensor is not None]
    return torch.cat(present) if present else None


def _joined_masks(batches: Sequence[Batch]) -> Tensor | None:
    if all(batch.mask is None for batch in batches):
        return None
    return torch.cat([torch.ones_like(batch.latent[:, :1]) if batch.mask is None else batch.mask for batch in batches])


@dataclass(frozen=True)
class RowMaker:
    """Draws noise, noise level, caption and flip of each row."""

    model: BaseModel
    data: TrainingData
    config: TrainingConfig
    seed: int
    timesteps: Timesteps

    @classmethod
    def of(cls, model: BaseModel, data: TrainingData, config: TrainingConfig, seed: int) -> RowMaker:
        return cls(model, data, config, seed, Timesteps.of(config, model.family, model.sigmas))

    def batch(self, step: int, first_row: int, entries: Sequence[Entry]) -> Batch:
        """Rows `first_row`, `first_row + 1`, ... of `step`."""
        return joined([self.row(entry, step, first_row + i) for i, entry in enumerate(entries)])

    def row(self, entry: Entry, *place: int | str) -> Batch:
        """A batch of one. `place`: what, besides the seed, its randomness comes from."""
        rng = generator(self.seed, *place)
        flip = uniform(rng) < 0.5
        variant = int(uniform(rng) * len(entry.captions))
        dropped = uniform(rng) < self.config.caption_dropout
        text = self.data.empty_conditioning(entry, flip) if dropped else self.data.conditioning(entry, variant, flip)
        latent = self.model.prepare_latent(self.data.latent(entry, flip).clone()[None])
        sigma = self.timesteps.draw(rng, self.model.tokens(latent.shape))
        noise = draw_noise(latent.shape, self.config, rng)
        device = self.model.device
        return Batch(
            latent=latent,
            noise=noise.to(device),
            sigma=torch.tensor([sigma], dtype=torch.float32, device=device),
            rows=(self._condition(entry, text, flip),),
            mask=self._mask(entry, flip, latent),
        )

    def fixed(self, entry: Entry, caption: str, level: float, *seed: int | str) -> Batch:
        """A batch of one that is the same whenever it is asked for: plain noise that follows from `seed` alone, at the
        quantile `level` of the noise levels that are trained at."""
        latent = self.model.prepare_latent(self.data.latent(entry).clone()[None])
        place = self.timesteps.place(level, self.model.tokens(latent.shape))
        sigma = torch.tensor([self.timesteps.sigma(place)], dtype=torch.float32, device=self.model.device)
        return Batch(
            latent=latent,
            noise=torch.randn(tuple(latent.shape), generator=generator(*seed)).to(self.model.device),
            sigma=sigma,
            rows=(self._condition(entry, self.data.text(entry, caption), flip=False),),
            mask=self._mask(entry, False, latent),
        )

    def _mask(self, entry: Entry, flip: bool, like: Tensor) -> Tensor | None:
        """(1, 1, ..., height, width): one channel, and one frame for all."""
        mask = self.data.mask(entry, flip)
        return None if mask is None else mask.to(like).expand(like[:, :1].shape)

    def _condition(self, entry: Entry, text: Conditioning, flip: bool) -> RowCondition:
        return RowCondition(
            text=text,
            original_size=entry.original_size,
            crop=entry.crop,
            target_size=entry.target_size,
            references=self.data.references(entry, flip),
            start=self.data.start(entry, flip),
        )
