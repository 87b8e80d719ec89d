"""Rules that give layers their own rank, alpha and learning rate."""

from __future__ import annotations

import re

import pytest
from torch import nn

from danlu.errors import DanluError
from danlu.training.adapters import AdapterSet
from danlu.training.config import LoRAConfig
from danlu.training.per_block import layer_config, parse_rules

CONFIG = LoRAConfig(algorithm="lora", rank=8, alpha=4.0, dropout=0.0)
RULES = """
# the late blocks
blocks\\.1: rank=2, alpha=3, lr=0.5
blocks: rank=4
out: lr=0
"""


def test_the_first_rule_that_matches_counts() -> None:
    network = nn.ModuleDict({"first": nn.Linear(4, 4), "out": nn.Linear(4, 4)})
    network["blocks"] = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}
    config = LoRAConfig(**{**vars(CONFIG), "per_block": RULES})
    made = AdapterSet.create(layers, config, seed=0).adapters
    found = {name: (a.rank, a.down.weight.shape[0], a.alpha, a.scale, a.lr_scale) for name, a in made.items()}
    assert found == {
        "first": (8, 8, 4.0, 0.5, 1.0),
        "out": (8, 8, 4.0, 0.5, 0.0),
        "blocks.0": (4, 4, 2.0, 0.5, 1.0),
        "blocks.1": (2, 2, 3.0, 1.5, 0.5),
    }


def test_colons_belong_to_the_pattern() -> None:
    (rule,) = parse_rules("(?:img|txt)_mlp: rank=2")
    assert rule.pattern.pattern == "(?:img|txt)_mlp"


def test_without_rules_the_config_stays() -> None:
    assert layer_config("any", CONFIG) == (CONFIG, 1.0)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("blocks", "is no rule"),
        ("blocks:", "is no rule"),
        (": rank=2", "is no rule"),
        ("blocks: size=2", "'size=2' in 'blocks: size=2' is none of"),
        ("blocks: rank=2, rank=3", "'rank=3'"),
        ("blocks: rank", "'rank'"),
        ("blocks: rank=two", "not a number"),
        ("blocks: rank=2.5", "not a number"),
        ("blocks: rank=0", "rank is 1 to 4096"),
        ("blocks: alpha=-1", "alpha above 0"),
        ("blocks: lr=nan", "lr (a factor)"),
        ("(blocks: rank=2", "not a regular expression"),
    ],
)
def test_bad_lines_are_named(line: str, words: str) -> None:
    with pytest.raises(DanluError, match=re.escape(words)) as error:
        parse_rules(f"fine: rank=2\n{line}")
    assert str(error.value).startswith("per_block: ")
