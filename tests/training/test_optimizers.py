"""Every optimizer moves the weights in its own way; learning rates of groups; what cannot work is said at once."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from danlu.errors import DanluError
from danlu.training.arguments import optimizer_arguments
from danlu.training.config import OPTIMIZERS, LoRAConfig, TrainingConfig, check
from danlu.training.families import resolve
from danlu.training.lion import Lion
from danlu.training.optimizers import create_optimizer, parameter_groups

from .test_loop import Log, run, same, trainer, weights
from .toys import settings, training_data

REAL = [name for name in OPTIMIZERS if name not in ("auto", "adamw8bit")]
"""Those whose packages every test environment has."""


def arguments_of(name: str) -> dict[str, Any]:
    """Settings under which a toy learns within a few steps."""
    extra: dict[str, Any] = {"optimizer_args": "class=NAdam"} if name == "other" else {}
    rates = {"sgd": 0.1, "lion": 3e-3, "adafactor": 1e-2, "schedulefree": 2e-2, "prodigy": 1.0}
    return {"optimizer": name, "learning_rate": rates.get(name, 1e-2), "max_grad_norm": 0.0, **extra}


@pytest.mark.parametrize("name", REAL)
def test_the_loss_falls(name: str) -> None:
    _, log = run(150, data=training_data(1), batch_size=4, **arguments_of(name))
    first, last = (sum(entry.loss for entry in part) / 20 for part in (log[:20], log[-20:]))
    assert last < 0.8 * first


@pytest.mark.parametrize("name", REAL)
def test_the_same_seed_gives_the_same_bits(name: str) -> None:
    one, log = run(4, **arguments_of(name))
    again, same_log = run(4, **arguments_of(name))
    assert same(one, again) and log == same_log


def test_no_two_are_the_same() -> None:
    found = [weights(run(3, **{**arguments_of(name), "learning_rate": 1e-2})[0]) for name in REAL]
    assert all(
        not all(map(torch.equal, found[i], found[k])) for i in range(len(found)) for k in range(i + 1, len(found))
    )


@pytest.mark.parametrize("name", REAL)
def test_weight_decay_pulls_to_zero(name: str) -> None:
    def length(decay: float) -> float:
        settings = {**arguments_of(name), "learning_rate": 1e-2}
        if name == "prodigy":
            settings |= {"learning_rate": 1.0, "optimizer_args": "d0=1e-2"}
        made, _ = run(6, weight_decay=decay, **settings)
        with made.weights_to_keep():
            return sum(float(weight.norm()) for weight in weights(made))

    assert length(5.0) < 0.999 * length(0.0)


def test_lion_is_lion() -> None:
    """Against the formula, written out."""
    parameter = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = Lion([parameter], lr=0.1, betas=(0.9, 0.99), weight_decay=0.5)
    expected, momentum = parameter.detach().clone(), torch.zeros(2)
    for gradient in (torch.tensor([0.3, -0.1]), torch.tensor([-5.0, 0.2]), torch.tensor([0.1, 0.1])):
        parameter.grad = gradient.clone()
        optimizer.step()
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * (0.9 * momentum + 0.1 * gradient).sign()
        momentum = 0.99 * momentum + 0.01 * gradient
        torch.testing.assert_close(parameter.detach(), expected)


def test_prodigy_finds_its_own_rate() -> None:
    chosen = resolve("flux", True, LoRAConfig(), TrainingConfig(optimizer="prodigy"), steps=10)
    assert chosen.training.learning_rate == chosen.training.text_encoder_learning_rate == 1.0
    assert chosen.choices[0] == "auto for prodigy, which finds its own: learning_rate 1"
    said = TrainingConfig(optimizer="prodigy", learning_rate=0.5)
    assert resolve("flux", True, LoRAConfig(), said, steps=10).training.learning_rate == 0.5
    _, log = run(120, data=training_data(1), batch_size=4, optimizer="prodigy", learning_rate=1.0)
    assert log[-1].learning_rate > 10 * log[0].learning_rate


def test_schedule_free_keeps_another_point_than_it_trains_at() -> None:
    made, _ = run(8, **arguments_of("schedulefree"))
    training = weights(made)
    with made.weights_to_keep():
        kept = weights(made)
    assert not all(map(torch.equal, training, kept))
    assert all(map(torch.equal, weights(made), training))


def test_schedule_free_warms_up_by_itself() -> None:
    settings = arguments_of("schedulefree")
    assert not same(run(3, warmup_steps=10, **settings)[0], run(3, **settings)[0])
    with pytest.raises(DanluError, match="lr_scheduler is cosine, but schedulefree has none"):
        check(TrainingConfig(optimizer="schedulefree", lr_scheduler="cosine"))


def test_eight_bits_need_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    made = trainer()
    groups = parameter_groups(made.adapters, 1e-3)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(DanluError, match="adamw8bit needs the package bitsandbytes.*pip install bitsandbytes"):
        create_optimizer(groups, settings(optimizer="adamw8bit").training)


def test_eight_bits_where_the_package_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class AdamW8bit(torch.optim.AdamW):
        pass

    optim = ModuleType("bitsandbytes.optim")
    optim.AdamW8bit = AdamW8bit  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bitsandbytes", ModuleType("bitsandbytes"))
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", optim)
    made, _ = run(2, optimizer="adamw8bit", weight_decay=0.25)
    assert made.optimization is not None
    assert isinstance(made.optimization.optimizer, AdamW8bit)
    assert made.optimization.optimizer.param_groups[0]["weight_decay"] == 0.25


def test_arguments_reach_the_optimizer() -> None:
    made, _ = run(1, optimizer="adamw", optimizer_args="betas=(0.5, 0.75), eps=1e-3, amsgrad=True")
    assert made.optimization is not None
    group = made.optimization.optimizer.param_groups[0]
    assert (group["betas"], group["eps"], group["amsgrad"]) == ((0.5, 0.75), 1e-3, True)


def test_arguments_change_the_run() -> None:
    assert not same(run(3, optimizer_args="betas=(0.1, 0.2)")[0], run(3)[0])


def test_other_is_a_class_of_torch() -> None:
    made, _ = run(1, optimizer="other", optimizer_args="class=NAdam, betas=(0.9, 0.95)")
    assert made.optimization is not None
    assert type(made.optimization.optimizer) is torch.optim.NAdam
    assert made.optimization.optimizer.param_groups[0]["betas"] == (0.9, 0.95)


@pytest.mark.parametrize(
    ("text", "values", "class_name"),
    [
        ("", {}, ""),
        (" class=NAdam,betas=(0.9,0.95)", {"betas": (0.9, 0.95)}, "NAdam"),
        ("class='NAdam'", {}, "NAdam"),
        ("eps=-1e-8, foreach=None, name='a, b'", {"eps": -1e-8, "foreach": None, "name": "a, b"}, ""),
        ("d_coef=2", {"d_coef": 2}, ""),
    ],
)
def test_reading_arguments(text: str, values: dict[str, Any], class_name: str) -> None:
    found = optimizer_arguments(text)
    assert (dict(found.values), found.class_name) == (values, class_name)


@pytest.mark.parametrize(
    "text",
    [
        "eps",
        "1e-8",
        "eps=",
        "eps=1e-8) or (1",
        "x=__import__('os').system('true')",
        "betas=(a, b)",
        "**{'eps': 1}",
        "x=[i for i in range(3)]",
        "eps=1; eps=2",
        "(" * 500,
    ],
)
def test_anything_but_plain_values_is_refused(text: str) -> None:
    with pytest.raises(DanluError, match="optimizer_args"):
        optimizer_arguments(text)
    with pytest.raises(DanluError, match="optimizer_args"):
        check(TrainingConfig(optimizer_args=text))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "other"}, "name a class of torch.optim"),
        ({"optimizer": "adamw", "optimizer_args": "class=NAdam"}, "choose the optimizer 'other'"),
        ({"optimizer": "other", "optimizer_args": "class=Nothing"}, "no optimizer 'Nothing'. It has .*NAdam"),
        ({"optimizer": "other", "optimizer_args": "class=lr_scheduler"}, "no optimizer 'lr_scheduler'"),
        ({"optimizer": "other", "optimizer_args": "class=LBFGS"}, "LBFGS cannot be used here"),
        ({"optimizer": "adamw", "optimizer_args": "momentum=0.9"}, "AdamW has no argument 'momentum'. It has betas"),
        ({"optimizer": "adamw", "optimizer_args": "lr=1"}, "lr has an input of its own, learning_rate"),
        ({"optimizer": "adamw", "optimizer_args": "eps=-1.0"}, "AdamW cannot be made with these settings"),
        ({"optimizer": "adamw", "optimizer_args": "betas=(0.9,)"}, "AdamW cannot be made with these settings"),
        ({"optimizer": "lion", "optimizer_args": "betas=(0.9,)"}, "Lion cannot be made with these settings"),
        ({"optimizer": "lion", "optimizer_args": "betas=(2, 3)"}, "betas must lie between 0 and 1"),
        ({"optimizer": "prodigy", "lora_plus_ratio": 4.0}, "prodigy takes one learning rate for all"),
        ({"lora_plus_ratio": 4.0, "lora": {"algorithm": "loha"}}, "lora_plus_ratio needs an algorithm with two"),
    ],
)
def test_what_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DanluError, match=message):
        run(1, **options)


@pytest.mark.parametrize(
    ("name", "text"),
    [("adafactor", "eps=1e-8"), ("adamw", "maximize=5"), ("prodigy", "beta3='x'"), ("schedulefree", "r='x'")],
)
def test_what_only_a_step_shows_is_told_before_the_first(name: str, text: str) -> None:
    """With what is right the trainer is made, and nothing of the trial is left in it."""
    with torch.inference_mode(), pytest.raises(DanluError, match="optimizer_args: .* cannot step with them"):
        trainer(optimizer=name, optimizer_args=text)
    with torch.inference_mode():
        made = trainer(optimizer=name)
    assert all(parameter.grad is None for parameter in made.parameters)


def moved(**options: Any) -> dict[str, Tensor]:
    """How far each tensor went in one step of SGD, which is in proportion to its learning rate."""
    made = trainer(optimizer="sgd", weight_decay=0.0, max_grad_norm=0.0, **options)
    for adapter in made.adapters.adapters.values():
        adapter.up.weight.data.fill_(0.01)  # type: ignore[union-attr, operator]
    before = weights(made)
    made.run(1)
    names = [f"{n}.{part}" for n, a in made.adapters.adapters.items() for part, _ in a.named_parameters()]
    return {n: w - b for n, w, b in zip(names, weights(made), before, strict=True)}


def ratios(found: dict[str, Tensor], plain: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(found[name].norm() / plain[name].norm()) for name in plain}


def test_lora_plus_moves_b_faster() -> None:
    found = ratios(moved(lora_plus_ratio=8.0), moved())
    assert {name: ratio for name, ratio in found.items() if "up" in name} == pytest.approx(
        {name: 8.0 for name in found if "up" in name}, rel=1e-2
    )
    assert all(ratio == pytest.approx(1.0) for name, ratio in found.items() if "down" in name)


def test_blocks_have_their_own_rate() -> None:
    rules = {"rank": 4, "per_block": "blocks.0: lr=0.5\nblocks.1: lr=0"}
    found = ratios(moved(lora=rules), moved())
    expected = {name: 0.5 if "blocks.0" in name else 0.0 if "blocks.1" in name else 1.0 for name in found}
    assert found == pytest.approx(expected, rel=1e-2)


def test_the_rate_that_is_shown_is_the_one_that_was_set() -> None:
    log: Log = run(2, learning_rate=1e-3, lora={"per_block": "image_in: lr=0.25"}, lora_plus_ratio=4.0)[1]
    assert [entry.learning_rate for entry in log] == pytest.approx([1e-3, 1e-3])
