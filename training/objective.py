"""What the network is asked to predict.

Three kinds of prediction, read off the host's `model_sampling` (x0 clean latent, n unit noise, s sigma):

    flow  x_s = (1 - s) x0 + s n     target n - x0                        (rectified flow, arXiv:2209.03003)
    eps   x_s = x0 + s n             target n                             (DDPM in VE form, arXiv:2006.11239)
    v     x_s = x0 + s n             target (n - s x0) / sqrt(s^2 + 1)    (arXiv:2202.00512, VE form)
"""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor


class Prediction(Enum):
    EPS = "eps"
    V = "v"
    FLOW = "flow"


def _per_row(sigma: Tensor, like: Tensor) -> Tensor:
    return sigma.view(-1, *([1] * (like.ndim - 1))).to(like)


def add_noise(kind: Prediction, latent: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """The noisy latent; `latent` and `noise` (B, ...), `sigma` (B,)."""
    s = _per_row(sigma, latent)
    if kind is Prediction.FLOW:
        return (1.0 - s) * latent + s * noise
    return latent + s * noise


def target(kind: Prediction, latent: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """What the network should answer for `add_noise` of the same arguments."""
    if kind is Prediction.FLOW:
        return noise - latent
    if kind is Prediction.EPS:
        return noise
    s = _per_row(sigma, latent)
    return (noise - s * latent) / torch.sqrt(s * s + 1.0)


def clean_latent(kind: Prediction, noisy: Tensor, answer: Tensor, sigma: Tensor) -> Tensor:
    """The clean latent that an answer to `noisy` amounts to: where the answer is `target`, the latent itself."""
    s = _per_row(sigma, noisy)
    if kind is Prediction.V:
        return (noisy - s * torch.sqrt(s * s + 1.0) * answer) / (s * s + 1.0)
    return noisy - s * answer
