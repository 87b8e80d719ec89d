"""What the user can set, with "auto" where the trainer knows better.

A number of -1 and a choice of "auto" mean: take the value of the model's family (`training.families`). `resolve`
turns them into plain values once, when a run is created.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

from ..errors import DanluError

AUTO = "auto"
AUTO_NUMBER = -1

TARGETS = ("auto", "attention", "attention+mlp", "all-linear", "all-linear+conv")
OPTIMIZERS = ("auto", "adamw")
LR_SCHEDULERS = ("auto", "constant", "linear", "cosine", "cosine_with_restarts", "polynomial")
TIMESTEP_SAMPLINGS = ("auto", "uniform", "sigmoid", "shift")
PRECISIONS = ("auto", "fp32", "bf16")
SWITCH = ("auto", "on", "off")


@dataclass(frozen=True)
class LoRAConfig:
    """Which layers get an adapter, and of what size."""

    rank: int = AUTO_NUMBER
    alpha: float = AUTO_NUMBER
    """Scale of the adapter is alpha / rank; auto: alpha = rank, scale 1."""
    targets: str = AUTO
    include: str = ""
    """Regular expression over module paths; a layer must match it when given."""
    exclude: str = ""
    dropout: float = AUTO_NUMBER


@dataclass(frozen=True)
class TrainingConfig:
    """How the adapter is trained."""

    learning_rate: float = AUTO_NUMBER
    optimizer: str = AUTO
    weight_decay: float = AUTO_NUMBER
    lr_scheduler: str = AUTO
    schedule_steps: int = AUTO_NUMBER
    """The schedule's horizon; auto: the steps of the run."""
    warmup_steps: int = AUTO_NUMBER
    batch_size: int = AUTO_NUMBER
    gradient_accumulation: int = AUTO_NUMBER
    precision: str = AUTO
    gradient_checkpointing: str = AUTO
    timestep_sampling: str = AUTO
    max_grad_norm: float = AUTO_NUMBER
    """0: no clipping."""
    caption_dropout: float = AUTO_NUMBER


Config = TypeVar("Config", LoRAConfig, TrainingConfig)


def is_auto(value: Any) -> bool:
    return value == AUTO or (isinstance(value, (int, float)) and value == AUTO_NUMBER)


def merged(config: Config, base: Config | None) -> Config:
    """What `config` leaves on auto comes from `base`."""
    if base is None:
        return config
    left_open = {f.name for f in fields(config) if is_auto(getattr(config, f.name))}
    open_text = {f.name for f in fields(config) if getattr(config, f.name) == ""}
    return replace(config, **{name: getattr(base, name) for name in left_open | open_text})


def filled(config: Config, values: dict[str, Any]) -> Config:
    """`config` with every auto replaced by `values`; names missing there are an error of ours."""
    return replace(config, **{f.name: values[f.name] for f in fields(config) if is_auto(getattr(config, f.name))})


def as_dict(config: LoRAConfig | TrainingConfig) -> dict[str, Any]:
    return asdict(config)


def check(config: LoRAConfig | TrainingConfig) -> None:
    """Raises DanluError for values that cannot work, naming the input."""
    for name, (low, high) in _BOUNDS.items():
        value = getattr(config, name, None)
        if value is None or is_auto(value):
            continue
        if not low <= value <= high:
            raise DanluError(f"{name} is {value}; it must lie between {low} and {high}, or be -1 for auto.")
    for name, choices in _CHOICES.items():
        value = getattr(config, name, None)
        if value is not None and value not in choices:
            raise DanluError(f"{name} is '{value}'; it must be one of: {', '.join(choices)}.")


_BOUNDS: dict[str, tuple[float, float]] = {
    "rank": (1, 4096),
    "alpha": (1e-6, 1e6),
    "dropout": (0.0, 0.95),
    "learning_rate": (1e-12, 100.0),
    "weight_decay": (0.0, 10.0),
    "schedule_steps": (1, 10_000_000),
    "warmup_steps": (0, 10_000_000),
    "batch_size": (1, 1024),
    "gradient_accumulation": (1, 1024),
    "max_grad_norm": (0.0, 1e6),
    "caption_dropout": (0.0, 1.0),
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "targets": TARGETS,
    "optimizer": OPTIMIZERS,
    "lr_scheduler": LR_SCHEDULERS,
    "precision": PRECISIONS,
    "gradient_checkpointing": SWITCH,
    "timestep_sampling": TIMESTEP_SAMPLINGS,
}
