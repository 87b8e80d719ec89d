"""What the user can set, with "auto" where the trainer knows better.

A number of -1 and a choice of "auto" mean: take the value of the model's family (`training.families`). `resolve`
turns them into plain values once, when a run is created.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

from ..errors import DanluError
from .arguments import optimizer_arguments
from .length import checked_length
from .presets import parsed

AUTO = "auto"
AUTO_NUMBER = -1

ALGORITHMS = ("auto", "lora", "dora", "rslora", "pissa", "olora", "loha", "lokr", "oft")
TARGETS = ("auto", "attention", "attention+mlp", "all-linear", "all-linear+conv")
OPTIMIZERS = ("auto", "adamw", "adamw8bit", "adafactor", "lion", "prodigy", "schedulefree", "sgd", "other")
OWN_RATE = {"prodigy": 1.0}
"""Learning rate of optimizers that find it themselves: a factor on what they find."""
LR_SCHEDULERS = ("auto", "constant", "linear", "cosine", "cosine_with_restarts", "polynomial")
TIMESTEP_SAMPLINGS = (
    "auto",
    "uniform",
    "sigmoid",
    "shift",
    "resolution_shift",
    "logit_normal",
    "high_noise",
    "low_noise",
)
LOSSES = ("auto", "mse", "huber", "smooth_l1", "l1")
LOSS_WEIGHTINGS = ("auto", "none", "min_snr", "debiased", "sigma_sqrt", "cosmap")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
SWITCH = ("auto", "on", "off")


@dataclass(frozen=True)
class LoRAConfig:
    """Which layers get an adapter, of what kind and size."""

    algorithm: str = AUTO
    rank: int = AUTO_NUMBER
    alpha: float = AUTO_NUMBER
    """Scale of the adapter is alpha / rank; auto: alpha = rank, scale 1."""
    targets: str = AUTO
    include: str = ""
    """Regular expression over module paths; a layer must match it when given."""
    exclude: str = ""
    dropout: float = AUTO_NUMBER
    per_block: str = ""
    """One rule a line, `pattern: rank=8, alpha=8, lr=0.5`: other values for the layers whose path matches; `lr`
    multiplies the learning rate. The first rule that matches counts."""
    text_encoder: str = AUTO
    """Whether the text encoder gets adapters too; auto: off."""
    preset: str = ""
    """What `training.presets` shall set of what is left on auto, before the family's values."""


@dataclass(frozen=True)
class TrainingConfig:
    """How the adapter is trained."""

    learning_rate: float = AUTO_NUMBER
    text_encoder_learning_rate: float = AUTO_NUMBER
    """Auto: half the learning rate."""
    optimizer: str = AUTO
    optimizer_args: str = ""
    """`name=value` pairs for the optimizer, separated by commas; with optimizer "other", `class=Name` names a class
    of `torch.optim`."""
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
    timestep_shift: float = AUTO_NUMBER
    """Of the samplings that shift; auto: the family's."""
    sigma_min: float = AUTO_NUMBER
    """Lowest noise level that is trained, as a share of the schedule: 0 clean, 1 pure noise."""
    sigma_max: float = AUTO_NUMBER
    loss: str = AUTO
    loss_weighting: str = AUTO
    min_snr_gamma: float = AUTO_NUMBER
    noise_offset: float = AUTO_NUMBER
    multires_noise: float = AUTO_NUMBER
    """Discount of each coarser level of multi-resolution noise; 0: none."""
    unmasked_weight: float = AUTO_NUMBER
    """How much the part outside a mask counts; auto: 0."""
    prior_preservation: float = AUTO_NUMBER
    """Weight of the rows that keep the model as it was on everything but the subject; 0: none; auto: 1 where there
    are regularisation pictures, else 0."""
    max_grad_norm: float = AUTO_NUMBER
    """0: no clipping."""
    ema_decay: float = AUTO_NUMBER
    """Of the moving average that is saved in place of the last weights; 0: none."""
    caption_dropout: float = AUTO_NUMBER
    lr_cycles: int = AUTO_NUMBER
    """How often cosine_with_restarts falls; auto: 3."""
    lora_plus_ratio: float = AUTO_NUMBER
    """Learning rate of B over that of A (arXiv:2402.12354); 1: equal."""
    validation: str = AUTO
    """Checkpoints are measured; auto: on held-out pictures where there are enough (`training.held_out`)."""
    early_stop: int = AUTO_NUMBER
    """Ends training when so many checkpoints in a row are over-trained; auto, 0: never."""
    preset: str = ""
    length: str = ""
    """How long to train where the train node's steps are left on auto (`training.length`)."""


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
    if isinstance(config, LoRAConfig):
        from .per_block import parse_rules
        from .targets import pattern

        parse_rules(config.per_block)
        for name in ("include", "exclude"):
            pattern(name, getattr(config, name))
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
    if config.preset:
        parsed(config.preset)
    checked_length(getattr(config, "length", ""))
    if isinstance(config, TrainingConfig):
        _check_range(config)
        _check_optimizer(config)


def _check_optimizer(config: TrainingConfig) -> None:
    class_name = optimizer_arguments(config.optimizer_args).class_name
    if config.optimizer == "other" and not class_name:
        raise DanluError('optimizer is other: name a class of torch.optim in optimizer_args, e.g. "class=NAdam".')
    if class_name and config.optimizer != "other":
        raise DanluError(f"optimizer_args names class={class_name}: choose the optimizer 'other' for that.")
    if config.optimizer == "schedulefree" and config.lr_scheduler not in (AUTO, "constant"):
        raise DanluError(f"lr_scheduler is {config.lr_scheduler}, but schedulefree has none: set it to constant.")


def _check_range(config: TrainingConfig) -> None:
    low = 0.0 if is_auto(config.sigma_min) else config.sigma_min
    high = 1.0 if is_auto(config.sigma_max) else config.sigma_max
    if low >= high:
        raise DanluError(
            f"sigma_min is {low:g} and sigma_max {high:g}: no noise level lies between them. "
            "Give a sigma_min below sigma_max."
        )


_BOUNDS: dict[str, tuple[float, float]] = {
    "rank": (1, 4096),
    "alpha": (1e-6, 1e6),
    "dropout": (0.0, 0.95),
    "learning_rate": (1e-12, 100.0),
    "text_encoder_learning_rate": (0.0, 100.0),
    "timestep_shift": (0.01, 100.0),
    "sigma_min": (0.0, 1.0),
    "sigma_max": (0.0, 1.0),
    "min_snr_gamma": (0.01, 1000.0),
    "noise_offset": (0.0, 1.0),
    "multires_noise": (0.0, 0.99),
    "unmasked_weight": (0.0, 1.0),
    "prior_preservation": (0.0, 100.0),
    "ema_decay": (0.0, 0.999999),
    "lora_plus_ratio": (0.01, 1000.0),
    "lr_cycles": (1, 1000),
    "weight_decay": (0.0, 10.0),
    "schedule_steps": (1, 10_000_000),
    "warmup_steps": (0, 10_000_000),
    "batch_size": (1, 1024),
    "gradient_accumulation": (1, 1024),
    "max_grad_norm": (0.0, 1e6),
    "caption_dropout": (0.0, 1.0),
    "early_stop": (0, 1000),
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "algorithm": ALGORITHMS,
    "text_encoder": SWITCH,
    "targets": TARGETS,
    "optimizer": OPTIMIZERS,
    "lr_scheduler": LR_SCHEDULERS,
    "precision": PRECISIONS,
    "gradient_checkpointing": SWITCH,
    "timestep_sampling": TIMESTEP_SAMPLINGS,
    "loss": LOSSES,
    "loss_weighting": LOSS_WEIGHTINGS,
    "validation": SWITCH,
}
