"""The pack is a guest that one does not notice at the host's start."""

from __future__ import annotations

import ast
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"peft", "diffusers", "transformers", "accelerate", "bitsandbytes", "torchao", "prodigyopt"}
LOADS = 5


@pytest.fixture(scope="module")
def all_loads(host_facts: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Several fresh loads of the linked pack, and one from a folder whose name is no Python name."""
    odd = tmp_path_factory.mktemp("custom_nodes") / "danlu-main 1.0"
    odd.symlink_to(ROOT, target_is_directory=True)
    linked = Path(host_facts["base_directory"]) / "custom_nodes" / "danlu"
    packs = [str(linked)] * LOADS + [str(odd)]
    probe = Path(__file__).with_name("import_probe.py")
    results: list[dict[str, Any]] = []
    while len(results) < len(packs):
        command = [sys.executable, str(probe), host_facts["base_directory"], *packs[len(results) :]]
        run = subprocess.run(
            command, cwd=host_facts["comfyui"], stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        lines = [line for line in run.stdout.splitlines() if line.startswith("{")]
        assert run.returncode == 0 and lines, run.stderr
        results += [json.loads(line) for line in lines]
    return results


@pytest.fixture(scope="module")
def loads(all_loads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return all_loads[:LOADS]


def test_the_host_takes_the_pack_without_a_warning(loads: list[dict[str, Any]]) -> None:
    assert [(load["loaded"], load["warnings"]) for load in loads] == [(True, [])] * len(loads)


def test_no_v1_mappings_which_would_hide_the_v3_entry_point(loads: list[dict[str, Any]]) -> None:
    assert not any(load["exports_v1"] for load in loads)


def test_nothing_heavy_is_imported(loads: list[dict[str, Any]]) -> None:
    for load in loads:
        tops = {name.partition(".")[0] for name in load["modules"]}
        assert not tops & HEAVY


def test_loading_takes_less_than_a_fifth_of_a_second(loads: list[dict[str, Any]]) -> None:
    """On a machine with more to do than it has cores, the clock tells about its neighbours: CPU time counts then."""
    busy = hasattr(os, "getloadavg") and os.getloadavg()[0] > (os.cpu_count() or 1)
    measure = "cpu_seconds" if busy else "seconds"
    assert statistics.median(load[measure] for load in loads) < 0.2


def test_every_node_id_is_ours(loads: list[dict[str, Any]]) -> None:
    assert loads[0]["nodes"]
    assert all(name.startswith("Danlu") for name in loads[0]["nodes"])


def test_a_folder_name_that_is_no_python_name_is_no_obstacle(all_loads: list[dict[str, Any]]) -> None:
    assert all_loads[-1]["loaded"] and not all_loads[-1]["warnings"]
    assert all_loads[-1]["nodes"] == all_loads[0]["nodes"]


def test_the_root_module_is_small_and_imports_nothing_of_the_host() -> None:
    source = (ROOT / "__init__.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 40
    tree = ast.parse(source)
    imported = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "." for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert imported <= {"__future__", "importlib", "pkgutil", "typing"}
