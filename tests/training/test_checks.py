"""Bad values and pairs are refused by name, before anything is loaded; what does nothing is told."""

from __future__ import annotations

import math
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from danlu.errors import DanluError
from danlu.training.checks import check_together, idle, remarks
from danlu.training.config import _BOUNDS, _CHOICES, LoRAConfig, TrainingConfig, check
from danlu.training.data import TrainingData
from danlu.training.objective import Prediction
from danlu.training.outline import outlined
from danlu.training.reporter import Reporter
from danlu.training.request import TrainRequest
from danlu.training.run import train_lora

from .toys import ToyModel, entry, settings, training_data

_LORA = {field.name for field in fields(LoRAConfig)}


def config(name: str, value: Any) -> LoRAConfig | TrainingConfig:
    return LoRAConfig(**{name: value}) if name in _LORA else TrainingConfig(**{name: value})


def test_every_number_has_bounds_and_every_choice_is_known() -> None:
    for made in (LoRAConfig(), TrainingConfig()):
        for field in fields(made):
            value = getattr(made, field.name)
            if isinstance(value, str):
                assert field.name in _CHOICES or value == "", field.name
            else:
                assert field.name in _BOUNDS, field.name


@pytest.mark.parametrize("name", _BOUNDS)
def test_numbers_out_of_bounds(name: str) -> None:
    low, high = _BOUNDS[name]
    if name != "sigma_min":  # nothing lies above its highest
        check(config(name, high))
    for value in (low - 0.5 if low >= 0.5 or low == 0 else low / 2, high * 1.01 + 1, math.nan, math.inf, -2):
        with pytest.raises(DanluError, match=f"{name} is .*between"):
            check(config(name, value))


@pytest.mark.parametrize("name", _CHOICES)
def test_unknown_choices(name: str) -> None:
    for choice in _CHOICES[name]:
        if choice != "other":
            check(config(name, choice))
    with pytest.raises(DanluError, match=f"{name} is 'nothing'; it must be one of"):
        check(config(name, "nothing"))


@pytest.mark.parametrize("name", ["include", "exclude", "per_block"])
def test_patterns_are_read_with_the_config(name: str) -> None:
    ending = ": rank=2" if name == "per_block" else ""
    good: dict[str, Any] = {name: f"double_blocks\\.[0-9]{ending}"}
    check(LoRAConfig(**good))
    bad: dict[str, Any] = {name: f"double_blocks({ending}"}
    with pytest.raises(DanluError, match=f"{name}.* is not a regular expression"):
        check(LoRAConfig(**bad))


def regularised() -> TrainingData:
    return training_data(entries=(entry("a"), replace(entry("b"), role="regularisation")))


def masked() -> TrainingData:
    return training_data(entries=(replace(entry("a"), mask_key="mask"),))


@pytest.mark.parametrize(
    ("options", "prediction", "message"),
    [
        ({"loss_weighting": "min_snr"}, Prediction.FLOW, "min_snr is not for a model that predicts flow"),
        ({"loss_weighting": "cosmap"}, Prediction.V, "cosmap is not for a model that predicts v"),
        ({"timestep_sampling": "resolution_shift"}, Prediction.EPS, "resolution_shift is for flow models"),
        ({"warmup_steps": 20}, Prediction.FLOW, "warmup_steps is 20, but the schedule has 20 steps"),
        ({"prior_preservation": 1.0}, Prediction.FLOW, "prior_preservation needs to know"),
    ],
)
def test_pairs_that_cannot_work(options: dict[str, Any], prediction: Prediction, message: str) -> None:
    with pytest.raises(DanluError, match=message):
        check_together(settings(**options).training, training_data(), prediction)
    check_together(settings().training, training_data(), prediction)


@pytest.mark.parametrize(
    ("options", "data", "said"),
    [
        ({"prior_preservation": 0.0}, regularised(), "regularisation pictures are not used"),
        ({"unmasked_weight": 1.0}, masked(), "masks change nothing"),
        ({"noise_offset": 0.1}, training_data(), "noise_offset is meant for"),
        ({"caption_dropout": 1.0}, training_data(), "no caption is used"),
        ({"lr_scheduler": "cosine", "schedule_steps": 10}, training_data(), "ends at step 10"),
    ],
)
def test_what_does_nothing_is_told(options: dict[str, Any], data: TrainingData, said: str) -> None:
    (line,) = remarks(settings(**options).training, data, Prediction.FLOW, steps=20)
    assert said in line
    assert remarks(settings(prior_preservation=1.0).training, data, Prediction.FLOW, steps=20) == ()


@pytest.mark.parametrize(
    ("name", "value", "used"),
    [
        ("timestep_shift", 3.0, {"timestep_sampling": "shift"}),
        ("timestep_shift", 3.0, {"timestep_sampling": "logit_normal"}),
        ("min_snr_gamma", 5.0, {"loss_weighting": "min_snr"}),
        ("lr_cycles", 3, {"lr_scheduler": "cosine_with_restarts"}),
        ("unmasked_weight", 0.5, None),
        ("text_encoder_learning_rate", 1e-5, None),
    ],
)
def test_a_given_value_that_nothing_reads_is_told(name: str, value: Any, used: dict[str, Any] | None) -> None:
    asked = TrainingConfig(**{name: value})
    resolved = settings(timestep_sampling="sigmoid", loss_weighting="none", lr_scheduler="cosine")
    (line,) = idle(asked, resolved.training, resolved.lora, training_data())
    assert line.startswith(f"{name} does nothing")
    assert idle(TrainingConfig(), resolved.training, resolved.lora, training_data()) == ()
    fitting = replace(resolved.training, **(used or {}))
    assert idle(asked, fitting, replace(resolved.lora, text_encoder="on"), masked()) == ()


class Untouched(ToyModel):
    """Fails when it is loaded."""

    def borrowed(self, *_arguments: Any) -> Any:
        raise AssertionError("the model was loaded")


@pytest.mark.parametrize(
    "options",
    [
        {"loss_weighting": "min_snr"},
        {"prior_preservation": 1.0},
        {"optimizer": "other", "optimizer_args": "class=Nothing"},
        {"optimizer": "adamw", "optimizer_args": "nothing=1"},
        {"optimizer": "prodigy", "lora_plus_ratio": 4.0},
        {"optimizer": "adamw8bit"},
        {"learning_rate": -3.0},
    ],
)
def test_it_is_told_before_the_model_is_loaded(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("bitsandbytes", "bitsandbytes.optim"):
        monkeypatch.setitem(sys.modules, module, None)
    request = TrainRequest(
        model=Untouched(),
        base_identity="toy",
        data=training_data(),
        runs_folder=tmp_path,
        steps=4,
        lora=LoRAConfig(rank=2, targets="all-linear"),
        training=TrainingConfig(**options),
    )
    with pytest.raises(DanluError), torch.inference_mode():
        train_lora(request, Reporter())
    assert list(tmp_path.iterdir()) == [], "nothing half done"


def test_remarks_stand_among_what_was_chosen(tmp_path: Path) -> None:
    request = TrainRequest(
        model=ToyModel(),
        base_identity="toy",
        data=training_data(),
        runs_folder=tmp_path,
        steps=2,
        lora=LoRAConfig(rank=2, targets="all-linear"),
        training=TrainingConfig(caption_dropout=1.0, lr_cycles=4, gradient_checkpointing="off"),
    )
    with torch.inference_mode():
        result = train_lora(request, Reporter())
    for choices in (result.resolved.choices, outlined(request).resolved.choices):
        assert choices.count("caption_dropout is 1: no caption is used") == 1
        assert sum(choice.startswith("lr_cycles does nothing") for choice in choices) == 1
