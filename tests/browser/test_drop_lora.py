"""A LoRA's file, or the picture beside it, dropped onto the canvas brings the graph back that made it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from danlu.tests.server import REPOSITORY
from danlu.training.files import write_lora
from danlu.training.picture import cover

TEMPLATE = REPOSITORY / "workflows" / "Train a LoRA (five nodes).json"
TYPES = "() => app.graph.nodes.map(node => node.type).sort()"


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Path]:
    """As the save node writes them, from a template's graph."""
    texts = {"workflow": TEMPLATE.read_text(encoding="utf-8"), "prompt": "{}"}
    tensors = {"x.lora_up.weight": torch.ones(4, 2), "x.lora_down.weight": torch.ones(2, 4)}
    lora = write_lora(tmp_path, "my lora", tensors, texts)
    return {"file": lora, "picture": cover(lora, torch.rand(1, 32, 32, 3), texts)}


def drop(page: Any, path: Path) -> None:
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 650, "y": 450, "data": data})
        page.wait_for_timeout(150)


def test_dropping_brings_the_graph_back(page: Any, made: dict[str, Path]) -> None:
    expected = sorted(node["type"] for node in json.loads(TEMPLATE.read_text(encoding="utf-8"))["nodes"])
    assert "DanluTrainLoRA" in expected
    for path in made.values():
        page.evaluate("() => app.graph.clear()")
        assert page.evaluate(TYPES) == []
        drop(page, path)
        page.wait_for_function(f"() => app.graph.nodes.length >= {len(expected)}", timeout=30_000)
        assert page.evaluate(TYPES) == expected, path.name
