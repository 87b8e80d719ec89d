"""The edit demo as a newcomer runs it: real server, bundled workflow, bundled model and pairs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors import safe_open

REPOSITORY = Path(__file__).resolve().parents[2]
HALF_AN_HOUR = 1800

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    output, base = tmp_path_factory.mktemp("edit"), tmp_path_factory.mktemp("edit-base")
    names = {"PYTHONPATH": REPOSITORY, "DANLU_COMFYUI": comfyui, "DANLU_BASE_DIRECTORY": base}
    env = {**os.environ, **{name: str(value) for name, value in names.items()}}
    command = [sys.executable, "-m", "demo.edit", "--output", str(output)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=HALF_AN_HOUR)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    return output, json.loads((output / "summary.json").read_text(encoding="utf-8"))


def test_the_lora_is_closer_to_the_truth_by_half(results: tuple[Path, dict[str, Any]]) -> None:
    summary = results[1]
    assert summary["lora"] <= 0.5 * summary["base"], summary


def test_copying_the_before_would_not_reach_it(results: tuple[Path, dict[str, Any]]) -> None:
    summary = results[1]
    assert summary["unchanged"] > 0.5 * summary["base"], summary
    assert summary["lora"] < 0.7 * summary["unchanged"], summary


def test_nothing_is_better_than_the_autoencoder(results: tuple[Path, dict[str, Any]]) -> None:
    """Else the truth would have leaked into what is measured."""
    assert 0 < results[1]["autoencoder"] < results[1]["lora"]


def test_what_it_leaves(results: tuple[Path, dict[str, Any]]) -> None:
    output, summary = results
    with Image.open(summary["grid"]) as grid:
        assert grid.width > 900 and grid.height > 1200
    with safe_open(output / "clean.safetensors", framework="pt") as file:
        assert any(key.endswith("lora_up.weight") for key in file.keys())  # noqa: SIM118 - not a dict
