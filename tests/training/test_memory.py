"""What a run needs, against what its optimizer really keeps; and what is said where it does not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from danlu.training.memory import Card, fits, needs, shown_bytes
from danlu.training.optimizers import create_optimizer
from danlu.training.plan_verdict import Demand, Verdict, explained, judged

from .toys import settings

GB = 1 << 30


def parameters(count: int = 1) -> list[nn.Parameter]:
    shapes = [(64, 32), (32, 64), (48, 8, 3, 3)] * count
    return [nn.Parameter(torch.randn(shape)) for shape in shapes]


@pytest.mark.parametrize(
    ("optimizer", "arguments"),
    [
        ("adamw", ""),
        ("adafactor", ""),
        ("lion", ""),
        ("prodigy", ""),
        ("schedulefree", ""),
        ("sgd", ""),
        ("sgd", "momentum=0.9"),
        ("other", "class=NAdam"),
    ],
)
def test_an_optimizer_keeps_what_is_reckoned(optimizer: str, arguments: str) -> None:
    config = settings(optimizer=optimizer, optimizer_args=arguments, learning_rate=1e-3).training
    held = parameters()
    made = create_optimizer([{"params": held, "lr": 1e-3, "scale": 1.0}], config)
    if hasattr(made, "train"):
        made.train()
    for _ in range(2):
        for parameter in held:
            parameter.grad = torch.randn_like(parameter)
        made.step()
    tensors = [value for state in made.state.values() for value in state.values() if isinstance(value, torch.Tensor)]
    kept = sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor.numel() > 1)
    assert needs(held, config, 0).optimizer == pytest.approx(kept, rel=0.02)


def test_all_of_it_counts() -> None:
    held = parameters()
    size = 4 * sum(parameter.numel() for parameter in held)
    found = needs(held, settings(optimizer="adamw", ema_decay=0.99).training, activations=7)
    assert (found.adapters, found.gradients, found.average, found.activations) == (size, size, size, 7)
    assert found.total == 5 * size + 7
    assert needs(held, settings(optimizer="adamw").training, 7).average == 0


def test_8_bit_state_is_smaller_where_tensors_are_large() -> None:
    config = settings(optimizer="adamw8bit").training
    large, small = [nn.Parameter(torch.zeros(64, 64))], [nn.Parameter(torch.zeros(64, 63))]
    assert needs(large, config, 0).optimizer == 2 * 64 * 64
    assert needs(small, config, 0).optimizer == 8 * 64 * 63


def test_a_tenth_stays_free() -> None:
    none = needs([], settings().training, 0)
    assert fits(Card("card", 1000, 1000, base=900), none)
    assert not fits(Card("card", 1000, 1000, base=901), none)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (1536, "1.5 KB"), (150 * 1024, "150 KB"), (3 * GB, "3.0 GB")],
)
def test_sizes_are_shown_as_task_managers_do(count: int, text: str) -> None:
    assert shown_bytes(count) == text


def verdict(available: float, base: float = 4.0, kept: float = 8.0, offloads: bool = True, **training: Any) -> Verdict:
    """Sizes in GB. Adapters are small; recomputing takes a quarter."""
    config = settings(**{"gradient_checkpointing": "off", "batch_size": 4, **training}).training
    activations = kept if config.gradient_checkpointing == "off" else kept / 4
    demand = Demand(parameters(), config, int(activations * GB), int(kept / 4 * GB), side=1024)
    return judged(card(available, base, offloads), demand)


def card(available: float, base: float = 4.0, offloads: bool = True) -> Card:
    # Sizes are of what may be used: a tenth stays free.
    return Card("card", 100 * GB, int(available * GB / 0.9), int(base * GB), offloads)


CHECKPOINTING = "gradient_checkpointing on"


def test_what_fits_needs_no_change() -> None:
    found = verdict(available=12.1)
    assert (found.fits, found.changes, found.offloaded, found.headline) == (True, (), 0, "FITS")


def test_what_costs_least_comes_first() -> None:
    assert verdict(available=11.9).changes == (CHECKPOINTING,)
    assert verdict(available=6.1).changes == (CHECKPOINTING,)
    split = verdict(available=5.1)
    assert split.changes == (CHECKPOINTING, "batch_size 2 and gradient_accumulation 2")
    assert verdict(available=4.6).changes == (CHECKPOINTING, "batch_size 1 and gradient_accumulation 4")
    assert split.headline == "FITS WITH gradient_checkpointing on, batch_size 2 and gradient_accumulation 2"


def test_rows_of_a_step_stay_the_same() -> None:
    found = verdict(available=4.6, gradient_accumulation=3)
    assert found.changes[-1] == "batch_size 1 and gradient_accumulation 12"


def test_only_what_is_not_so_already_is_offered() -> None:
    found = verdict(available=5.1, gradient_checkpointing="on", batch_size=1, kept=16.0, offloads=False)
    assert CHECKPOINTING not in found.changes and not any("batch_size" in change for change in found.changes)


def test_an_8_bit_optimizer_where_its_state_is_what_is_too_much() -> None:
    config = settings(optimizer="adamw", gradient_checkpointing="on", batch_size=1).training
    demand = Demand([nn.Parameter(torch.empty(1 << 14, 1 << 14, device="meta"))], config, 0, 0, side=1024)
    assert demand.needs().total == 4 * GB
    assert judged(card(4.0 + 3.9, offloads=False), demand).changes == ("optimizer adamw8bit",)
    sgd = replace(demand, config=replace(config, optimizer="sgd"))
    assert not judged(card(4.0 + 1.9, offloads=False), sgd).fits


def test_the_host_offloads_before_pictures_are_made_smaller() -> None:
    found = verdict(available=8.0, base=10.0)
    assert found.fits and found.changes == (CHECKPOINTING,)
    assert found.offloaded == pytest.approx((10 + 2 - 8) * GB, rel=0.01)
    assert (
        explained(found, card(8.0, 10.0)) == "peak 8.0 GB of 8.9 GB, 4.0 GB of the model offloaded by the host (slower)"
    )
    smaller = verdict(available=11.6, base=10.0, kept=8.0, offloads=False, batch_size=1)
    assert smaller.changes == (CHECKPOINTING, "optimizer adamw8bit", "resolution 768") and smaller.offloaded == 0


def test_what_nothing_helps() -> None:
    found = verdict(available=9.0, base=10.0, offloads=False)
    assert (found.fits, found.changes, found.headline) == (False, (), "DOES NOT FIT")
    assert found.needs.activations == 8 * GB
