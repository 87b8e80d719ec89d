"""Presets set what they say, for every kind, memory and family, and everything stays overridable."""

from __future__ import annotations

import itertools

import pytest

from danlu.errors import DanluError
from danlu.training.config import LoRAConfig, TrainingConfig, as_dict, check, merged
from danlu.training.families import FAMILIES, Resolved, resolve
from danlu.training.length import planned_steps
from danlu.training.preset_text import describe
from danlu.training.presets import KINDS, MEMORIES, length_of, preset_name, resolution_for


def configs(kind: str, memory: str = "auto") -> tuple[LoRAConfig, TrainingConfig]:
    name = preset_name(kind, memory)
    return LoRAConfig(preset=name), TrainingConfig(preset=name, length=length_of(kind))


def resolved(kind: str, memory: str = "auto", family: str = "flux") -> Resolved:
    return resolve(family, True, *configs(kind, memory), steps=1000)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_combination_gives_usable_values(family: str) -> None:
    for kind, memory in itertools.product(KINDS, MEMORIES):
        found = resolved(kind, memory, family)
        check(found.lora)
        check(found.training)
        assert found.lora.alpha == found.lora.rank


def test_a_person_on_any_card_is_the_familys_own() -> None:
    plain = resolve("flux", True, LoRAConfig(), TrainingConfig(), steps=1000)
    assert resolved("person") == plain


def test_kinds_differ() -> None:
    person, style, pose = (resolved(kind) for kind in ("person", "style", "pose"))
    assert (person.lora.rank, style.lora.rank) == (16, 32)
    assert (person.training.caption_dropout, style.training.caption_dropout) == (0.05, 0.1)
    assert (person.training.timestep_sampling, pose.training.timestep_sampling) == ("sigmoid", "high_noise")


def test_memory_decides() -> None:
    def values(memory: str, family: str) -> tuple[int, str, str]:
        found = resolved("style", memory, family)
        return found.lora.rank, found.lora.targets, found.training.gradient_checkpointing

    assert values("6 GB", "sd15") == (16, "attention+mlp", "on")
    assert values("8 GB", "sd15") == (64, "attention+mlp", "auto")
    assert values("8 GB", "sdxl") == (16, "attention+mlp", "on")
    assert values("24 GB+", "sdxl") == (64, "attention+mlp", "auto")
    assert values("8 GB", "flux") == (8, "attention", "on")
    assert values("12 GB", "flux") == (16, "attention", "on")
    assert values("16 GB", "flux") == (32, "attention+mlp", "on")
    assert values("24 GB+", "flux") == (32, "attention+mlp", "on")
    assert values("auto", "flux") == (32, "attention+mlp", "auto")


@pytest.mark.parametrize(
    ("kind", "steps"),
    [("person", 4000), ("anime", 3000), ("product", 3000), ("clothing", 3000), ("pose", 3000), ("style", 2000)]
    + [("edit", 5000)],
)
def test_steps_follow_from_the_pictures(kind: str, steps: int) -> None:
    length = configs(kind)[1].length
    assert planned_steps(length, 50, 50, 1) == steps
    assert [planned_steps(length, pictures, pictures, 1) for pictures in (1, 1000)] == [1000, 8000]


def test_each_value_is_told_with_its_reason() -> None:
    line = resolved("style", "12 GB").choices[0]
    assert line.startswith("preset style / 12 GB: ")
    for part in ("rank 16 (12 GB: less", "targets attention (12 GB: half", "caption_dropout 0.1 (the style should"):
        assert part in line
    assert all("rank" not in other for other in resolved("style", "12 GB").choices[1:])


def test_every_value_can_be_overridden_by_a_config_node() -> None:
    lora, training = configs("style", "12 GB")
    lora = merged(LoRAConfig(rank=5, targets="all-linear"), lora)
    training = merged(TrainingConfig(caption_dropout=0.2, gradient_checkpointing="off"), training)
    found = resolve("flux", True, lora, training, steps=1000)
    assert (found.lora.rank, found.lora.alpha, found.lora.targets) == (5, 5, "all-linear")
    assert (found.training.caption_dropout, found.training.gradient_checkpointing) == (0.2, "off")
    assert training.length == "40 a picture"


def test_a_run_does_not_depend_on_what_its_preset_is_called() -> None:
    found = resolved("style")
    same = resolve("flux", True, LoRAConfig(rank=32), TrainingConfig(caption_dropout=0.1), steps=1000)
    assert as_dict(found.lora) == as_dict(same.lora)
    assert as_dict(found.training) == as_dict(same.training)


@pytest.mark.parametrize("name", ["person", "person / 7 GB", "nobody / auto", "person/auto"])
def test_unknown_presets(name: str) -> None:
    with pytest.raises(DanluError, match="kind must be one of person, anime"):
        check(LoRAConfig(preset=name))


@pytest.mark.parametrize("kind", KINDS)
def test_the_node_says_what_it_set_and_why(kind: str) -> None:
    text = describe(kind, "12 GB")
    for part in (
        "One goal per LoRA",
        "Sources: ",
        KINDS[kind].base,
        KINDS[kind].captions,
        f"{KINDS[kind].per_picture} steps",
    ):
        assert part in text
    rank = resolved(kind, "12 GB", "flux" if kind != "edit" else "kontext").lora.rank
    assert f"rank {rank}" in next(line for line in text.splitlines() if line.startswith("- Flux.1"))
    if kind != "edit":
        assert "SDXL: " in text
    else:
        assert "SDXL: " not in text


def test_small_cards_train_on_small_pictures() -> None:
    assert [resolution_for(memory, "flux") for memory in MEMORIES] == ["auto", "512", "512", "512", "512,768", "auto"]
    assert resolution_for("6 GB", "sdxl") == "768"
    assert resolution_for("6 GB", "sd15") == "auto"
