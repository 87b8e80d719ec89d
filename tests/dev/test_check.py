"""`dev.py check`: what it calls wrong, and one real run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from danlu.bench.check import Mode, judged
from danlu.bench.rounds import START

RIGHT: dict[str, Any] = {
    "runs_on": "cpu",
    "finite_difference_error": 1e-3,
    "checkpointing_error": 0.0,
    "changed": [],
    "same_again": True,
}
CPU, OFFLOADED = Mode("cpu", "cpu"), Mode("cuda, offloaded", "cuda", ("novram",))


def test_what_is_right() -> None:
    assert judged(CPU, RIGHT) == []
    there = {**RIGHT, "runs_on": "cuda:0", "cpu_error": 1e-4, "same_again": False, "changed": ["pointers"]}
    assert judged(OFFLOADED, there) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"finite_difference_error": 0.5}, "finite differences"),
        ({"finite_difference_error": float("nan")}, "finite differences"),
        ({"checkpointing_error": 0.1}, "checkpointing"),
        ({"changed": ["pointers"]}, "base model was changed (pointers)"),
        ({"same_again": False}, "other bits"),
        ({"runs_on": "cuda:0"}, "it ran on cuda:0"),
        ({"cpu_error": 0.2}, "the CPU's"),
        ({"cpu_error": None}, "the CPU's"),
        ({"error": "no such operator"}, "no such operator"),
    ],
)
def test_what_is_wrong(change: dict[str, Any], words: str) -> None:
    (wrong,) = judged(CPU, {**RIGHT, **change})
    assert words in wrong


def test_content_counts_where_weights_move() -> None:
    there = {**RIGHT, "runs_on": "cuda:0", "cpu_error": 1e-4, "changed": ["content", "pointers"]}
    assert judged(OFFLOADED, there) == ["the base model was changed (content)"]


def test_a_real_run(comfyui: Path, host_facts: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANLU_COMFYUI", str(comfyui))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    packages = Path(host_facts["base_directory"]) / "custom_nodes"
    command = [sys.executable, "-c", START, str(packages), "danlu.bench.check", "--packages", str(packages)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    text = ended.stdout
    for name in ("sd15", "flux"):
        lines = [line for line in text.splitlines() if line.startswith(f"  {name}")]
        for words, line in zip(("s a step", "finite differences", "same bits"), lines, strict=True):
            assert words in line
        assert "base unchanged" in lines[2]
    assert "not covered" in text and text.rstrip().endswith("everything is right")
    assert list(tmp_path.iterdir()) == [], "something was left behind"
