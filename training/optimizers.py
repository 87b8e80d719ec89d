"""Optimizers by name, and which learning rate each parameter gets."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ..errors import DanluError
from .adapters import AdapterSet
from .arguments import optimizer_arguments
from .config import TrainingConfig

ONE_RATE = ("prodigy",)
"""Optimizers that take one learning rate for all parameters."""

_ELSEWHERE: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "adamw8bit": ("bitsandbytes.optim", "AdamW8bit", "bitsandbytes"),
        "adafactor": ("transformers.optimization", "Adafactor", "transformers"),
        "prodigy": ("prodigyopt", "Prodigy", "prodigyopt"),
        "schedulefree": ("schedulefree", "AdamWScheduleFree", "schedulefree"),
    }
)
"""Module, class and package of optimizers that torch does not bring."""
_NO_CPU = ("adamw8bit",)
_WRONG = (TypeError, ValueError, RuntimeError, IndexError, ArithmeticError, AssertionError)
"""What optimizers raise for settings that they cannot use."""
_FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")
_DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # With a learning rate from outside, as any other optimizer has it.
        "adafactor": {"scale_parameter": False, "relative_step": False, "warmup_init": False},
        "prodigy": {"use_bias_correction": True, "safeguard_warmup": True},
    }
)
_UNFIT = {
    "LBFGS": "it asks for the loss several times a step",
    "SparseAdam": "it is for sparse gradients",
    "Optimizer": "it is the base of all",
}
_INPUTS = {"lr": "learning_rate", "weight_decay": "weight_decay"}


def parameter_groups(adapters: AdapterSet, rate: float, ratio: float = 1.0) -> list[dict[str, Any]]:
    """One group for each learning rate: `rate` times that of the layer, times `ratio` for the outer factor (LoRA+).

    Groups carry `scale`, their share of `rate`.
    """
    by_scale: dict[float, list[nn.Parameter]] = {}
    for adapter in adapters.adapters.values():
        outer = {id(parameter) for parameter in adapter.outer_parameters()}
        if ratio != 1.0 and not outer:
            raise DanluError("lora_plus_ratio needs an algorithm with two factors: lora, rslora, dora or pissa.")
        for parameter in adapter.parameters():
            scale = adapter.lr_scale * (ratio if id(parameter) in outer else 1.0)
            by_scale.setdefault(scale, []).append(parameter)
    return [{"params": found, "lr": rate * scale, "scale": scale} for scale, found in by_scale.items()]


def create_optimizer(groups: Iterable[dict[str, Any]], config: TrainingConfig) -> Optimizer:
    """Raises DanluError for a package that is missing, and for arguments that the optimizer does not know."""
    groups = list(groups)
    if config.optimizer in ONE_RATE and len({group["lr"] for group in groups}) > 1:
        raise DanluError(
            f"{config.optimizer} takes one learning rate for all: no lora_plus_ratio, no lr in per_block, and no "
            "other rate for the text encoder. Leave these out, or choose another optimizer."
        )
    arguments = optimizer_arguments(config.optimizer_args)
    kind = _kind(config.optimizer, arguments.class_name)
    options = {**_DEFAULTS.get(config.optimizer, {}), **arguments.values}
    _check_arguments(kind, arguments.values)
    if config.optimizer == "adamw" and _one_kernel(groups):
        options.setdefault("fused", True)
    options["lr"] = config.learning_rate
    if "weight_decay" in inspect.signature(kind).parameters:
        options["weight_decay"] = config.weight_decay
    if config.optimizer == "schedulefree":
        options.setdefault("warmup_steps", config.warmup_steps)
    try:
        return kind(groups, **options)
    except _WRONG as error:
        raise DanluError(f"{kind.__name__} cannot be made with these settings: {error}") from error


def try_optimizer(groups: Iterable[dict[str, Any]], config: TrainingConfig) -> None:
    """Raises DanluError as `create_optimizer` does, and for what an optimizer only trips over when it steps."""
    groups = list(groups)
    create_optimizer(groups, config)
    if config.optimizer in _NO_CPU:
        return
    with torch.inference_mode(False):
        stand_ins = [nn.Parameter(torch.zeros(2, 2)) for _ in groups]
        made: Any = create_optimizer([{**g, "params": [p]} for g, p in zip(groups, stand_ins, strict=True)], config)
        for parameter in stand_ins:
            parameter.grad = torch.ones(2, 2)
        try:
            if config.optimizer == "schedulefree":
                made.train()
            made.step()
        except _WRONG as error:
            text = str(error).splitlines()[0]
            raise DanluError(f"optimizer_args: {type(made).__name__} cannot step with them: {text}") from error


def _one_kernel(groups: Iterable[dict[str, Any]]) -> bool:
    """Whether torch has AdamW in one kernel there: adapters are hundreds of small tensors."""
    return all(p.device.type in _FUSED_DEVICES for group in groups for p in group["params"])


def _kind(name: str, class_name: str) -> Any:
    if class_name and name != "other":
        raise DanluError(f"optimizer_args names class={class_name}: choose the optimizer 'other' for that.")
    if name in _ELSEWHERE:
        return _imported(*_ELSEWHERE[name], name)
    if name == "lion":
        from .lion import Lion

        return Lion
    return _of_torch({"adamw": "AdamW", "sgd": "SGD"}.get(name, class_name))


def _imported(module: str, class_name: str, package: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module), class_name)
    except (ImportError, AttributeError) as error:
        raise DanluError(
            f"optimizer {name} needs the package {package}, which is not installed: "
            f"pip install {package}, or choose adamw."
        ) from error


def _of_torch(class_name: str) -> Any:
    if not class_name:
        raise DanluError('optimizer is other: name a class of torch.optim in optimizer_args, e.g. "class=NAdam".')
    kind = getattr(torch.optim, class_name, None)
    if not (isinstance(kind, type) and issubclass(kind, Optimizer)):
        known = sorted(n for n, k in vars(torch.optim).items() if isinstance(k, type) and issubclass(k, Optimizer))
        fitting = ", ".join(n for n in known if n not in _UNFIT)
        raise DanluError(f"optimizer_args: torch.optim has no optimizer {class_name!r}. It has {fitting}.")
    if class_name in _UNFIT:
        raise DanluError(f"optimizer_args: {class_name} cannot be used here: {_UNFIT[class_name]}.")
    return kind


def _check_arguments(kind: Any, values: Mapping[str, Any]) -> None:
    known = [name for name in inspect.signature(kind).parameters if name not in ("params", *_INPUTS)]
    for name in values:
        if name in _INPUTS:
            raise DanluError(f"optimizer_args: {name} has an input of its own, {_INPUTS[name]}.")
        if name not in known:
            raise DanluError(f"optimizer_args: {kind.__name__} has no argument {name!r}. It has {', '.join(known)}.")
