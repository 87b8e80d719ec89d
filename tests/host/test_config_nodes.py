"""Every field of a config has an input on its node, with all of its choices, and nothing else."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from danlu.nodes.config import DanluLoRAConfig, DanluTrainingConfig
from danlu.training.config import _BOUNDS, _CHOICES, LoRAConfig, TrainingConfig

FROM_ELSEWHERE = {"preset", "length"}
"""Set by presets and by imported files."""


def inputs(node: Any) -> dict[str, Any]:
    return {found.id: found for found in node.define_schema().inputs if found.id != "base"}


@pytest.mark.parametrize(("node", "config"), [(DanluLoRAConfig, LoRAConfig), (DanluTrainingConfig, TrainingConfig)])
def test_inputs_are_the_fields(node: Any, config: Any) -> None:
    assert inputs(node).keys() == {field.name for field in fields(config)} - FROM_ELSEWHERE


@pytest.mark.parametrize(("node", "config"), [(DanluLoRAConfig, LoRAConfig), (DanluTrainingConfig, TrainingConfig)])
def test_defaults_leave_everything_open(node: Any, config: Any) -> None:
    assert config(**{name: found.default for name, found in inputs(node).items()}) == config()


@pytest.mark.parametrize("node", [DanluLoRAConfig, DanluTrainingConfig])
def test_choices_and_bounds_are_those_of_the_config(node: Any) -> None:
    for name, found in inputs(node).items():
        if name in _CHOICES:
            assert tuple(found.options) == _CHOICES[name], name
        elif name in _BOUNDS:
            assert found.min == -1, name
            assert found.max <= _BOUNDS[name][1], name
