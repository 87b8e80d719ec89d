"""At which noise levels a model is trained.

A level is a place p in the model's schedule, 0 clean and 1 pure noise. It is drawn by its quantile function from a
uniform q, so that a range of the schedule (`sigma_min`, `sigma_max`) is the same distribution, cut off:

    uniform            p = q
    sigmoid            p = 1 / (1 + exp(-z)), z = Phi^-1(q)                logit-normal(0, 1), arXiv:2403.03206
    shift              p = s q / (1 + (s - 1) q)                           s = timestep_shift
    logit_normal       the shift of a sigmoid: what sd-scripts and musubi-tuner call "shift"
    resolution_shift   the same with s = exp(mu), mu linear in the number of tokens: "flux_shift", "qwen_shift"
    high_noise         p = 1 - (1 - q)^3: half of the draws lie above 0.875
    low_noise          p = q^3: half of the draws lie below 0.125
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from types import MappingProxyType

import torch
from torch import Tensor

from .config import TrainingConfig
from .rng import uniform

_NORMAL = NormalDist()
_ALMOST_ONE = 1.0 - 2.0**-53

MU: Mapping[str, tuple[float, float, float, float]] = MappingProxyType(
    {
        "qwen_image": (256.0, 0.5, 8192.0, 0.9),
        "qwen_image_edit": (256.0, 0.5, 8192.0, 0.9),
        "": (256.0, 0.5, 4096.0, 1.15),
    }
)
"""Tokens and mu at two sizes, by family (sd-scripts flux_shift, musubi-tuner qwen_shift). The last one is for Flux.1
and all others; musubi-tuner trains Flux.2 with it too, whose sampler shifts far more."""


def sigmoid(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z)) if z >= 0 else math.exp(z) / (1.0 + math.exp(z))


def shifted(p: float, shift: float) -> float:
    # Written so that 1 stays 1 for any shift.
    return shift * p / (1.0 - p + shift * p)


def resolution_mu(family: str, tokens: int) -> float:
    low, mu_low, high, mu_high = MU.get(family, MU[""])
    return mu_low + (tokens - low) * (mu_high - mu_low) / (high - low)


@dataclass(frozen=True)
class _Law:
    """A distribution over (0, 1]: its quantile function and the inverse of that."""

    quantile: Callable[[float], float]
    cumulative: Callable[[float], float]


def _logit_normal_quantile(q: float) -> float:
    return sigmoid(_NORMAL.inv_cdf(min(q, _ALMOST_ONE)))


def _logit_normal_cumulative(p: float) -> float:
    return p if p in (0.0, 1.0) else _NORMAL.cdf(math.log(p / (1.0 - p)))


_LAWS: Mapping[str, _Law] = MappingProxyType(
    {
        "uniform": _Law(lambda q: q, lambda p: p),
        "high_noise": _Law(lambda q: 1.0 - (1.0 - q) ** 3, lambda p: 1.0 - (1.0 - p) ** (1.0 / 3.0)),
        "low_noise": _Law(lambda q: q**3, lambda p: p ** (1.0 / 3.0)),
        "sigmoid": _Law(_logit_normal_quantile, _logit_normal_cumulative),
    }
)
_LAW_OF: Mapping[str, str] = MappingProxyType(
    {"shift": "uniform", "logit_normal": "sigmoid", "resolution_shift": "sigmoid"}
)
"""What the samplings that shift draw from first."""


@dataclass(frozen=True)
class Timesteps:
    """Draws the noise levels of a run."""

    sampling: str
    shift: float
    low: float
    high: float
    family: str
    sigmas: Tensor | None
    """The host's table of noise levels, ascending, of discrete schedules; None for flow models, where sigma is p."""

    @classmethod
    def of(cls, config: TrainingConfig, family: str, sigmas: Tensor | None) -> Timesteps:
        return cls(config.timestep_sampling, config.timestep_shift, config.sigma_min, config.sigma_max, family, sigmas)

    def draw(self, rng: torch.Generator, tokens: int) -> float:
        """One sigma for a picture of so many tokens."""
        return self.sigma(self.place(1.0 - uniform(rng), tokens))

    def place(self, q: float, tokens: int) -> float:
        """The place in the schedule, of (low, high], that belongs to a quantile `q` of (0, 1]."""
        law = _LAWS[_LAW_OF.get(self.sampling, self.sampling)]
        shift = self._shift(tokens)
        # Undoing a shift is shifting by its inverse.
        start, end = (law.cumulative(shifted(limit, 1.0 / shift)) for limit in (self.low, self.high))
        p = shifted(law.quantile(end - (end - start) * (1.0 - q)), shift)
        return min(max(p, self.low), self.high)

    def sigma(self, place: float) -> float:
        if self.sigmas is None:
            return place
        row = math.ceil(place * len(self.sigmas)) - 1
        return float(self.sigmas[max(0, row)])

    def _shift(self, tokens: int) -> float:
        if self.sampling == "resolution_shift":
            return math.exp(resolution_mu(self.family, tokens))
        return self.shift if self.sampling in ("shift", "logit_normal") else 1.0
