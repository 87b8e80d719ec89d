"""Presets and imports name what is there: kinds, memory sizes, inputs of nodes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import danlu.training.imports
from danlu.nodes.dataset import DanluEncodeDataset, DanluLoadDataset
from danlu.nodes.preset import DanluPreset
from danlu.nodes.save import DanluSaveLoRA
from danlu.nodes.train import DanluTrainLoRA
from danlu.training.formats import FORMATS
from danlu.training.presets import KINDS, MEMORIES

NODES = {
    "Load Dataset": DanluLoadDataset,
    "Encode Dataset": DanluEncodeDataset,
    "Train LoRA": DanluTrainLoRA,
    "Save LoRA": DanluSaveLoRA,
}


def inputs(node: Any) -> dict[str, Any]:
    return {found.id: found for found in node.define_schema().inputs}


def test_the_preset_node_offers_every_preset() -> None:
    found = inputs(DanluPreset)
    assert found["kind"].options == list(KINDS)
    assert found["memory"].options == list(MEMORIES)


def test_the_save_node_offers_every_format() -> None:
    assert inputs(DanluSaveLoRA)["format"].options == list(FORMATS)


def test_what_a_report_sends_elsewhere_can_be_set_there() -> None:
    folder = Path(danlu.training.imports.__file__).parent
    sources = "".join(file.read_text(encoding="utf-8") for file in folder.glob("*.py"))
    named = set(re.findall(rf"({'|'.join(NODES)}): ([a-z_]+)", sources))
    assert len(named) > 15
    missing = sorted(f"{node}: {name}" for node, name in named if name not in inputs(NODES[node]))
    assert not missing
