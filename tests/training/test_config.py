from __future__ import annotations

from dataclasses import replace

import pytest

from danlu.errors import DanluError
from danlu.training.config import LoRAConfig, TrainingConfig, as_dict, check, filled, is_auto, merged


def test_everything_is_auto_until_said_otherwise() -> None:
    open_fields = {name for name, value in as_dict(TrainingConfig()).items() if is_auto(value)}
    assert open_fields == as_dict(TrainingConfig()).keys() - {"optimizer_args", "preset", "length"}
    assert {name for name, value in as_dict(LoRAConfig()).items() if is_auto(value)} == {
        "algorithm",
        "rank",
        "alpha",
        "targets",
        "dropout",
        "text_encoder",
    }


def test_merged_takes_from_the_base_what_is_left_open() -> None:
    base = LoRAConfig(rank=8, alpha=4.0, targets="attention", include="blocks", exclude="mlp", dropout=0.1)
    config = merged(LoRAConfig(rank=2, dropout=0.0, exclude="txt"), base)
    assert config == LoRAConfig(rank=2, alpha=4.0, targets="attention", include="blocks", exclude="txt", dropout=0.0)


def test_merged_keeps_zero_and_off() -> None:
    base = TrainingConfig(max_grad_norm=1.0, gradient_checkpointing="on", warmup_steps=100)
    config = merged(TrainingConfig(max_grad_norm=0.0, gradient_checkpointing="off", warmup_steps=0), base)
    assert (config.max_grad_norm, config.gradient_checkpointing, config.warmup_steps) == (0.0, "off", 0)


def test_merged_without_a_base_changes_nothing() -> None:
    config = TrainingConfig(learning_rate=1e-3)
    assert merged(config, None) == config


def test_merged_goes_on_through_a_chain() -> None:
    first = TrainingConfig(learning_rate=1e-3)
    second = merged(TrainingConfig(batch_size=4), first)
    third = merged(TrainingConfig(precision="fp32"), second)
    assert (third.learning_rate, third.batch_size, third.precision) == (1e-3, 4, "fp32")


def test_filled_leaves_what_was_said() -> None:
    given = LoRAConfig(algorithm="lora", rank=3, text_encoder="off")
    config = filled(given, {"rank": 16, "alpha": 3.0, "targets": "attention", "dropout": 0.0})
    assert config == replace(given, alpha=3.0, targets="attention", dropout=0.0)


def test_filled_needs_every_open_value() -> None:
    with pytest.raises(KeyError, match="alpha"):
        filled(LoRAConfig(algorithm="lora"), {"rank": 16, "targets": "attention", "dropout": 0.0})


def test_auto_passes_the_check() -> None:
    check(LoRAConfig())
    check(TrainingConfig())


@pytest.mark.parametrize(
    "config",
    [
        LoRAConfig(rank=0),
        LoRAConfig(rank=-2),
        LoRAConfig(alpha=0.0),
        LoRAConfig(dropout=1.0),
        LoRAConfig(targets="everything"),
        TrainingConfig(learning_rate=0.0),
        TrainingConfig(learning_rate=float("nan")),
        TrainingConfig(learning_rate=float("inf")),
        TrainingConfig(batch_size=0),
        TrainingConfig(gradient_accumulation=0),
        TrainingConfig(max_grad_norm=-0.5),
        TrainingConfig(caption_dropout=1.5),
        TrainingConfig(weight_decay=-0.1),
        TrainingConfig(optimizer="magic"),
        TrainingConfig(lr_scheduler="step"),
        TrainingConfig(precision="fp64"),
        TrainingConfig(gradient_checkpointing="yes"),
        TrainingConfig(timestep_sampling="normal"),
    ],
    ids=lambda config: str({k: v for k, v in as_dict(config).items() if not is_auto(v) and v != ""}),
)
def test_impossible_values_are_named(config: LoRAConfig | TrainingConfig) -> None:
    name = next(k for k, v in as_dict(config).items() if not is_auto(v) and v != "")
    with pytest.raises(DanluError, match=name):
        check(config)
