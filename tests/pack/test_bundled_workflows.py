"""Every node of a bundled workflow or blueprint says which pack and version it is from: Manager installs by it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("workflows/*.json"), *ROOT.glob("subgraphs/*.json")])
DRAWN_ONLY = {"Note", "MarkdownNote", "Reroute", "PrimitiveNode"}
"""Nodes of the front end itself: the server knows nothing of them, and they come from no pack."""


def _project(key: str) -> str:
    """A line of `[project]`; tomllib came with Python 3.11 only."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(rf'^{key} = "([^"]+)"$', text, re.MULTILINE)
    assert found, key
    return found[1]


def real_nodes(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Those that the server runs, also inside subgraphs; a subgraph's own node has the subgraph's id as its type."""
    subgraphs = workflow.get("definitions", {}).get("subgraphs", [])
    known = DRAWN_ONLY | {subgraph["id"] for subgraph in subgraphs}
    for graph in (workflow, *subgraphs):
        yield from (node for node in graph["nodes"] if node["type"] not in known)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_nodes_name_their_pack_and_its_version(path: Path) -> None:
    nodes = list(real_nodes(json.loads(path.read_text(encoding="utf-8"))))
    assert any(node["type"].startswith("Danlu") for node in nodes)
    for node in nodes:
        pack = node["properties"].get("cnr_id"), node["properties"].get("ver")
        if node["type"].startswith("Danlu"):
            assert pack == (_project("name"), _project("version")), node["type"]
        else:
            assert pack[0] == "comfy-core" and re.fullmatch(r"\d+\.\d+\.\d+", pack[1] or ""), node["type"]


def test_every_template_has_a_picture_of_its_name() -> None:
    for path in ROOT.glob("workflows/*.json"):
        assert path.with_suffix(".jpg").is_file(), path.stem
