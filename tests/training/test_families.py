from __future__ import annotations

from dataclasses import replace

import pytest

from danlu.training.config import LoRAConfig, TrainingConfig, as_dict, check, is_auto
from danlu.training.families import FAMILIES, resolve


@pytest.mark.parametrize("family", [*FAMILIES, "a family of next year"])
@pytest.mark.parametrize("flow", [True, False])
def test_nothing_is_left_open(family: str, flow: bool) -> None:
    found = resolve(family, flow, LoRAConfig(), TrainingConfig(), steps=1000)
    values = {**as_dict(found.lora), **as_dict(found.training)}
    # These stay the device's choice: the same weights may be on another one tomorrow.
    assert {name for name, value in values.items() if is_auto(value)} == {"precision", "gradient_checkpointing"}
    check(found.lora)
    check(found.training)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_choice_is_told_with_its_value_and_where_it_comes_from(family: str) -> None:
    said = {"learning_rate", "include", "exclude", "per_block", "optimizer_args", "preset", "length"}
    said.add("gradient_checkpointing")  # once it is settled
    found = resolve(family, True, LoRAConfig(), TrainingConfig(learning_rate=5e-5), steps=1000)
    of_family, of_all = found.choices
    row = FAMILIES[family]
    assert of_family.startswith(f"auto for {row.label} ({row.source}): ")
    assert of_all.startswith("auto for every model: ")
    told = {item.rsplit(" ", 1)[0]: item for line in found.choices for item in line.split(": ")[-1].split(", ")}
    values = {**as_dict(found.lora), **as_dict(found.training)}
    assert told.keys() == values.keys() - said
    shown = {name: f"{value:g}" if isinstance(value, float) else value for name, value in values.items()}
    assert all(item == f"{name} {shown[name]}" for name, item in told.items())


def test_what_was_said_stays() -> None:
    everything = resolve("flux", True, LoRAConfig(), TrainingConfig(precision="bf16"), steps=10)
    lora = replace(everything.lora, rank=3, alpha=1.5, targets="all-linear", include="a", exclude="b", dropout=0.25)
    training = replace(everything.training, lr_scheduler="cosine", schedule_steps=77, warmup_steps=0)
    found = resolve("sd15", False, lora, training, steps=1000)
    assert (found.lora, found.training, found.choices) == (lora, training, ())


def test_alpha_follows_the_rank_that_was_said() -> None:
    assert resolve("flux", True, LoRAConfig(rank=7), TrainingConfig(), 100).lora.alpha == 7.0
    assert resolve("flux", True, LoRAConfig(rank=7, alpha=1.0), TrainingConfig(), 100).lora.alpha == 1.0


def test_warmup_and_horizon_follow_the_schedule() -> None:
    by_steps = resolve("flux", True, LoRAConfig(), TrainingConfig(), steps=500).training
    assert (by_steps.schedule_steps, by_steps.warmup_steps) == (500, 10)
    by_schedule = resolve("flux", True, LoRAConfig(), TrainingConfig(schedule_steps=2000), steps=500).training
    assert (by_schedule.schedule_steps, by_schedule.warmup_steps) == (2000, 40)


def test_an_unknown_family_is_treated_by_its_objective() -> None:
    flow = resolve("unknown", True, LoRAConfig(), TrainingConfig(), 100).training
    noise = resolve("unknown", False, LoRAConfig(), TrainingConfig(), 100).training
    assert (flow.timestep_sampling, noise.timestep_sampling) == ("sigmoid", "uniform")
