"""The committed base model, measured through the host's own loaders, sampler and decoder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from danlu.demo import dataset
from danlu.demo.creature import DANTONG, render_creature
from danlu.demo.distance import distance

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS = REPOSITORY / "demo" / "models"
MEBIBYTE = 2**20

pytestmark = pytest.mark.slow


def run(comfyui: Path, *command: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "DANLU_COMFYUI": str(comfyui)}
    done = subprocess.run([sys.executable, *command], env=env, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def report(comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """200 prompts, half of them held-out combinations; and the base's pictures of prompts with the trigger."""
    work = tmp_path_factory.mktemp("base")
    answer = run(comfyui, "-m", "demo.evaluate", "--work", str(work), "--trigger", "32", "--through-vae", "16")
    return {**json.loads(answer), "work": work}


def test_it_draws_what_is_asked(report: dict[str, Any]) -> None:
    assert report["asked_of_all"] >= 0.90, report
    assert report["held_out"]["asked"] >= 0.85, report


def test_it_cannot_draw_the_character(report: dict[str, Any]) -> None:
    scenes = dataset.evaluation_scenes(32)
    rng = np.random.RandomState(12)
    base = np.mean([distance(Image.open(report["work"] / f"trigger-{i:02d}.png"), s) for i, s in enumerate(scenes)])
    true = np.mean([distance(render_creature(DANTONG, s, rng), s) for s in scenes])
    assert base >= 0.8
    assert true <= 0.1 * base


def test_the_character_survives_the_autoencoder(report: dict[str, Any]) -> None:
    scenes = dataset.evaluation_scenes(16)
    seen = [distance(Image.open(report["work"] / f"through-{i:02d}.png"), s) for i, s in enumerate(scenes)]
    assert np.mean(seen) <= 0.15


def test_files_are_small() -> None:
    assert sum(file.stat().st_size for file in MODELS.iterdir()) < 40 * MEBIBYTE
