"""The main job as a newcomer runs it: real server, bundled workflow, bundled models and dataset."""

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
"""Of a machine that does other things too; the demo takes five minutes."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """Runs the demo once: its output folder, its summary, and what it printed."""
    output = tmp_path_factory.mktemp("demo")
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "DANLU_BASE_DIRECTORY": str(tmp_path_factory.mktemp("base"))}
    command = [sys.executable, "-m", "demo.run", "--output", str(output)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=HALF_AN_HOUR)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    return output, json.loads((output / "summary.json").read_text(encoding="utf-8")), done.stdout


def test_the_lora_draws_the_character(results: tuple[Path, dict[str, Any], str]) -> None:
    summary = results[1]
    assert summary["lora_distance"] <= 0.5 * summary["base_distance"]


def test_pictures_without_the_trigger_change_little(results: tuple[Path, dict[str, Any], str]) -> None:
    summary = results[1]
    assert summary["leak"] < 0.25 * summary["triggered_change"]


def test_shuffled_captions_do_not_count_as_learned(results: tuple[Path, dict[str, Any], str]) -> None:
    summary = results[1]
    assert summary["shuffled_distance"] > 0.5 * summary["base_distance"]


def test_everything_is_left_in_one_folder(results: tuple[Path, dict[str, Any], str]) -> None:
    output, summary, _ = results
    for key in ("lora", "grid", "checkpoints", "loss_curve"):
        assert Path(summary[key]).parent == output
        assert Path(summary[key]).stat().st_size > 1000
    with Image.open(summary["grid"]) as grid, Image.open(summary["loss_curve"]) as curve:
        assert grid.width > 800 and curve.width > 800
    with safe_open(summary["lora"], framework="pt") as file:
        assert file.metadata()["modelspec.trigger_phrase"] == "dantong"
        assert any(key.endswith("lora_up.weight") for key in file.keys())  # noqa: SIM118 - not a dict


def test_the_terminal_tells_three_numbers_and_the_paths(results: tuple[Path, dict[str, Any], str]) -> None:
    output, summary, printed = results
    assert "images × repeats 1" in printed and "loss" in printed
    for words in ("Distance to the character", "Leak without the trigger", "seconds a step", str(output)):
        assert words in printed
    assert summary["seconds_per_step"] > 0


def test_it_ends_with_a_verdict_on_every_checkpoint(results: tuple[Path, dict[str, Any], str]) -> None:
    _, summary, printed = results
    assert summary["advice"] in printed
    lines = [line for line in summary["advice"].splitlines() if "step" in line]
    assert len(lines) >= 10
    assert any("good" in line for line in lines)
