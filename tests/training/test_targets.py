from __future__ import annotations

import re
from typing import Any

import pytest
from torch import Tensor, nn

from danlu.errors import DanluError
from danlu.training.config import LoRAConfig
from danlu.training.nearest import nearest
from danlu.training.targets import select


class Quantised(nn.Module):
    """A linear layer that is no `nn.Linear`, as the host's quantised ones."""

    def __init__(self) -> None:
        super().__init__()
        self.in_features = self.out_features = 4
        self.weight = nn.Parameter(nn.Linear(4, 4).weight.detach(), requires_grad=False)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.to_q = nn.Linear(4, 4)
        self.to_out = nn.Sequential(nn.Linear(4, 4), nn.Dropout())
        self.norm = nn.LayerNorm(4)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj_in = nn.Conv2d(4, 4, 1)
        self.attn1 = Attention()
        self.ff = nn.Sequential(nn.Linear(4, 8), nn.GELU(), Quantised())
        self.img_mod = nn.ModuleDict({"lin": nn.Linear(4, 4)})


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.time_embed = nn.Sequential(nn.Linear(4, 4), nn.SiLU(), nn.Linear(4, 4))
        self.cap_embedder = nn.Sequential(nn.Linear(4, 4))
        self.input_blocks = nn.ModuleList([nn.Conv2d(4, 4, 3), Block()])
        self.final_layer = nn.ModuleDict({"linear": nn.Linear(4, 4)})

    def forward(self, x: Tensor) -> Tensor:
        return x


ATTENTION = ["input_blocks.1.proj_in", "input_blocks.1.attn1.to_q", "input_blocks.1.attn1.to_out.0"]
MLP = ["input_blocks.1.ff.0", "input_blocks.1.ff.2"]
STEERING = ["time_embed.0", "time_embed.2", "cap_embedder.0", "input_blocks.1.img_mod.lin", "final_layer.linear"]


def chosen(targets: str, include: str = "", exclude: str = "") -> list[str]:
    return list(select(Network(), LoRAConfig(rank=4, targets=targets, include=include, exclude=exclude)))


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        ("attention", ATTENTION),
        ("attention+mlp", ATTENTION + MLP),
        ("all-linear", ATTENTION[1:] + MLP + STEERING),
        ("all-linear+conv", ["input_blocks.0", *ATTENTION, *MLP, *STEERING]),
    ],
)
def test_presets(targets: str, names: list[str]) -> None:
    assert sorted(chosen(targets)) == sorted(names)


def test_layers_come_in_the_networks_order_and_are_its_own() -> None:
    network = Network()
    layers = select(network, LoRAConfig(rank=4, targets="all-linear+conv"))
    modules = dict(network.named_modules())
    assert list(layers) == [name for name in modules if name in layers]
    assert all(layer is modules[name] for name, layer in layers.items())


def test_include_and_exclude_are_searched_in_the_path() -> None:
    assert chosen("attention+mlp", include=r"\.ff\.") == MLP
    assert chosen("attention+mlp", exclude=r"attn1|proj") == MLP
    assert chosen("attention+mlp", include=r"attn1", exclude=r"to_out") == ["input_blocks.1.attn1.to_q"]
    assert chosen("all-linear", include=r"^final_layer\.") == ["final_layer.linear"]


@pytest.mark.parametrize(("name", "pattern"), [("include", "(attn"), ("exclude", "*")])
def test_a_broken_pattern_is_named(name: str, pattern: str) -> None:
    with pytest.raises(DanluError, match=re.escape(f"{name} '{pattern}' is not a regular expression")):
        chosen("attention", **{name: pattern})


def test_no_layer_left_says_what_was_asked_for() -> None:
    with pytest.raises(DanluError, match="targets 'attention' is left: include 'attn1' and exclude 'attn|proj'"):
        chosen("attention", include="attn1|proj", exclude="attn|proj")


@pytest.mark.parametrize("what", ["include", "exclude", "per_block"])
def test_a_pattern_that_matches_nothing_is_an_error_with_the_nearest_names(what: str) -> None:
    given = {what: "atn1.to_out: rank=4" if what == "per_block" else r"atn1\.to_out"}
    with pytest.raises(DanluError, match=rf"^{what} 'atn1\\?\.to_out' is in the path of no layer") as error:
        select(Network(), LoRAConfig(rank=4, alpha=4.0, targets="attention+mlp", **given))  # type: ignore[arg-type]
    names = str(error.value).partition("The nearest: ")[2].rstrip(".").split(", ")
    assert len(names) == 3
    assert names[0] == "input_blocks.1.attn1.to_out.0"


def test_names_of_many_equal_blocks_count_once() -> None:
    paths = [f"blocks.{i}.{part}" for i in range(50) for part in ("attn.q", "attn.k", "mlp.0")]
    assert nearest("attn.qq", paths) == ["blocks.0.attn.q", "blocks.0.attn.k", "blocks.0.mlp.0"]


def test_conv_targets_need_a_convolution() -> None:
    with pytest.raises(DanluError, match="no convolution to train. Choose all-linear"):
        select(Attention(), LoRAConfig(rank=4, targets="all-linear+conv"))


@pytest.mark.parametrize("options", [{"groups": 2}, {"padding": 1, "padding_mode": "circular"}])
def test_convolutions_that_two_others_cannot_stand_for_are_left_out(options: dict[str, Any]) -> None:
    network = nn.ModuleDict({"plain": nn.Conv2d(4, 4, 3), "other": nn.Conv2d(4, 4, 3, **options)})
    assert list(select(network, LoRAConfig(rank=4, targets="all-linear+conv"))) == ["plain"]
