"""What only shows when all settings are together: pairs that cannot work, and settings that do nothing."""

from __future__ import annotations

from ..errors import DanluError
from .config import LoRAConfig, TrainingConfig, is_auto
from .data import TrainingData
from .losses import Loss
from .objective import Prediction
from .prior import Prior

_ONLY_WITH = {
    "timestep_shift": ("timestep_sampling", ("shift", "logit_normal")),
    "min_snr_gamma": ("loss_weighting", ("min_snr",)),
    "lr_cycles": ("lr_scheduler", ("cosine_with_restarts",)),
}
"""Inputs that only some choices of another one read."""


def check_together(config: TrainingConfig, data: TrainingData, prediction: Prediction) -> None:
    """Raises DanluError for resolved settings that do not go together, before anything is loaded."""
    Loss.of(config, prediction)
    Prior.of(data, config, seed=0)
    if config.timestep_sampling == "resolution_shift" and prediction is not Prediction.FLOW:
        raise DanluError(
            f"timestep_sampling resolution_shift is for flow models; this one predicts {prediction.value}. "
            "Choose uniform, or auto."
        )
    if config.warmup_steps >= config.schedule_steps > 1:
        raise DanluError(
            f"warmup_steps is {config.warmup_steps}, but the schedule has {config.schedule_steps} steps: the learning "
            "rate would never reach its full value. Lower warmup_steps, or raise steps."
        )


def remarks(config: TrainingConfig, data: TrainingData, prediction: Prediction, steps: int) -> tuple[str, ...]:
    """Lines for the user about resolved settings that do less than one may think."""
    found = []
    if data.regularisation and not config.prior_preservation:
        found.append("prior_preservation is 0: the regularisation pictures are not used")
    masked = any(entry.mask_key for entry in data.trained)
    if masked and config.unmasked_weight == 1.0:
        found.append("unmasked_weight is 1: the masks change nothing")
    if config.noise_offset and prediction is Prediction.FLOW:
        found.append("noise_offset is meant for models that predict noise or v: flow models need none")
    if config.caption_dropout == 1.0:
        found.append("caption_dropout is 1: no caption is used")
    if config.schedule_steps < steps and config.lr_scheduler != "constant":
        found.append(f"the schedule ends at step {config.schedule_steps:,}; its last learning rate is kept from there")
    return tuple(found)


def idle(asked: TrainingConfig, resolved: TrainingConfig, lora: LoRAConfig, data: TrainingData) -> tuple[str, ...]:
    """Lines about values that the user gave and nothing reads."""
    given = {name for name, value in vars(asked).items() if not is_auto(value)}
    found = [
        f"{name} does nothing: {other} is {getattr(resolved, other)}, it goes with {' or '.join(fitting)}"
        for name, (other, fitting) in _ONLY_WITH.items()
        if name in given and getattr(resolved, other) not in fitting
    ]
    if "unmasked_weight" in given and not any(entry.mask_key for entry in data.trained):
        found.append("unmasked_weight does nothing: no picture has a mask")
    if "text_encoder_learning_rate" in given and lora.text_encoder != "on":
        found.append("text_encoder_learning_rate does nothing: text_encoder of the LoRA config is off")
    return tuple(found)
