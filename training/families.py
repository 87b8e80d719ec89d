"""Start values for each model family.

None of them has been verified by us on the real weights; every row names where it comes from. `resolve` fills
what the user left on auto and says which values it chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .config import LoRAConfig, TrainingConfig, as_dict, filled, is_auto


@dataclass(frozen=True)
class Family:
    """One row: what differs from the defaults of all families."""

    label: str
    values: Mapping[str, Any]
    source: str


_ALL: Mapping[str, Any] = MappingProxyType(
    {
        "algorithm": "lora",
        "targets": "attention+mlp",
        "dropout": 0.0,
        "text_encoder": "off",
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "lr_scheduler": "constant",
        "batch_size": 1,
        "gradient_accumulation": 1,
        "precision": "auto",
        "timestep_shift": 1.0,
        "sigma_min": 0.0,
        "sigma_max": 1.0,
        "loss": "mse",
        "loss_weighting": "none",
        "min_snr_gamma": 5.0,
        "noise_offset": 0.0,
        "multires_noise": 0.0,
        "unmasked_weight": 0.0,
        "max_grad_norm": 1.0,
        "ema_decay": 0.0,
        "caption_dropout": 0.05,
        "lora_plus_ratio": 1.0,
    }
)

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "sd15": Family(
            "SD 1.5",
            {"learning_rate": 1e-4, "rank": 32, "timestep_sampling": "uniform"},
            "ai-toolkit UI defaults; sd-scripts docs/train_network (lr 1e-4, rank 32)",
        ),
        "flux": Family(
            "Flux.1",
            {"learning_rate": 1e-4, "rank": 16, "timestep_sampling": "sigmoid"},
            "ai-toolkit config/examples/train_lora_flux_24gb.yaml",
        ),
        "generic": Family(
            "generic",
            {"learning_rate": 1e-4, "rank": 16, "timestep_sampling": "auto"},
            "ai-toolkit UI defaults",
        ),
    }
)


@dataclass(frozen=True)
class Resolved:
    """Configs without any auto left, and lines that say what was chosen for the user, and from where."""

    lora: LoRAConfig
    training: TrainingConfig
    choices: tuple[str, ...]


def resolve(
    family: str, flow: bool, lora: LoRAConfig, training: TrainingConfig, steps: int, regularised: bool = False
) -> Resolved:
    """Fills every auto.

    `flow`: the model predicts a flow velocity; `steps`: of the whole run; `regularised`: there are pictures for prior
    preservation.
    """
    row = FAMILIES.get(family, FAMILIES["generic"])
    values = {**_ALL, **row.values}
    if values["timestep_sampling"] == "auto":
        values["timestep_sampling"] = "sigmoid" if flow else "uniform"
    horizon = steps if is_auto(training.schedule_steps) else training.schedule_steps
    values["schedule_steps"] = horizon
    values["prior_preservation"] = float(regularised)
    rate = values["learning_rate"] if is_auto(training.learning_rate) else training.learning_rate
    values["text_encoder_learning_rate"] = rate / 2
    values["warmup_steps"] = horizon // 50
    values["alpha"] = float(values["rank"] if is_auto(lora.rank) else lora.rank)
    # "off" is the safe default of correctness; memory rules belong to the planner.
    values["gradient_checkpointing"] = "off"
    chosen = {
        name: values[name]
        for config in (lora, training)
        for name, value in as_dict(config).items()
        if is_auto(value)
    }
    return Resolved(filled(lora, values), filled(training, values), _explained(row, chosen))


def _explained(row: Family, chosen: Mapping[str, Any]) -> tuple[str, ...]:
    of_family = {name: value for name, value in chosen.items() if name in row.values}
    of_all = {name: value for name, value in chosen.items() if name not in row.values}
    groups = ((f"auto for {row.label} ({row.source})", of_family), ("auto for every model", of_all))
    return tuple(
        f"{title}: " + ", ".join(f"{name} {_shown(value)}" for name, value in group.items())
        for title, group in groups
        if group
    )


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def auto_steps(image_count: int) -> int:
    """Steps when the user gives none: 80 a picture, between 1,000 and 8,000 (the person preset)."""
    return min(8000, max(1000, image_count * 80))
