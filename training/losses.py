"""How far the network's answer is from its target, and how much each noise level counts.

By element, d the difference and c = 0.1:

    mse        d^2                         huber      d^2 below c, 2 c |d| - c^2 above
    l1         |d|                         smooth_l1  d^2 / c below c, 2 |d| - c above

By row, s its sigma and snr = 1 / s^2 (the latent's scale over the noise's):

    min_snr     eps: min(snr, gamma) / snr     v: min(snr, gamma) / (snr + 1)     arXiv:2303.09556
    debiased    eps: 1 / sqrt(snr)             v: 1 / (snr + 1), snr at most 1000     arXiv:2310.08442
    sigma_sqrt  flow: 1 / s^2                  cosmap  flow: 2 / (pi (1 - 2 s + 2 s^2))     arXiv:2403.03206
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import DanluError
from .config import TrainingConfig
from .objective import Prediction

HUBER_C = 0.1
"""Where the loss turns from a square to a line; sd-scripts' huber_c."""
MAX_SNR = 1000.0
LEAST_SIGMA = 1e-3
"""One step of a schedule of a thousand: sigma_sqrt has no bound below it."""
FLOW_WEIGHTINGS = ("sigma_sqrt", "cosmap")
NOISE_WEIGHTINGS = ("min_snr", "debiased")


def element_loss(kind: str, answer: Tensor, wanted: Tensor) -> Tensor:
    """Of the shape of both."""
    if kind == "mse":
        return functional.mse_loss(answer, wanted, reduction="none")
    if kind == "l1":
        return functional.l1_loss(answer, wanted, reduction="none")
    if kind == "huber":
        return 2.0 * functional.huber_loss(answer, wanted, reduction="none", delta=HUBER_C)
    return 2.0 * functional.smooth_l1_loss(answer, wanted, reduction="none", beta=HUBER_C)


def sigma_weight(weighting: str, prediction: Prediction, gamma: float, sigma: Tensor) -> Tensor:
    """(B,) for `sigma` (B,)."""
    if weighting in FLOW_WEIGHTINGS:
        from diffusers.training_utils import compute_loss_weighting_for_sd3

        return compute_loss_weighting_for_sd3(weighting, sigma.clamp_min(LEAST_SIGMA))
    if weighting == "none":
        return torch.ones_like(sigma)
    snr = sigma.pow(-2)
    if weighting == "min_snr":
        limited = snr.clamp_max(gamma)
        return limited / (snr + 1.0) if prediction is Prediction.V else limited / snr
    snr = snr.clamp_max(MAX_SNR)
    return 1.0 / (snr + 1.0) if prediction is Prediction.V else snr.rsqrt()


@dataclass(frozen=True)
class Loss:
    """The loss of a run."""

    kind: str
    weighting: str
    gamma: float
    unmasked_weight: float
    prediction: Prediction

    @classmethod
    def of(cls, config: TrainingConfig, prediction: Prediction) -> Loss:
        """Raises DanluError for a weighting that was made for another kind of prediction."""
        flow = prediction is Prediction.FLOW
        if config.loss_weighting in (NOISE_WEIGHTINGS if flow else FLOW_WEIGHTINGS):
            kind, fitting = ("flow", FLOW_WEIGHTINGS) if flow else (prediction.value, NOISE_WEIGHTINGS)
            raise DanluError(
                f"loss_weighting {config.loss_weighting} is not for a model that predicts {kind}. "
                f"Choose none, {' or '.join(fitting)}."
            )
        return cls(config.loss, config.loss_weighting, config.min_snr_gamma, config.unmasked_weight, prediction)

    def rows(self, answer: Tensor, wanted: Tensor, sigma: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B,) for answers and targets (B, ...), `sigma` (B,) and a mask that broadcasts to them, 1 where all counts.

        At least in fp32. A mean over all elements: a small mask is a small part of the picture.
        """
        dtype = torch.promote_types(answer.dtype, torch.float32)
        loss = element_loss(self.kind, answer.to(dtype), wanted.to(dtype))
        if mask is not None:
            loss = loss * (self.unmasked_weight + (1.0 - self.unmasked_weight) * mask.to(loss))
        weight = sigma_weight(self.weighting, self.prediction, self.gamma, sigma)
        return loss.flatten(1).mean(1) * weight.to(loss)
