"""Options of the training and dataset nodes, on the real server from folder to trained LoRA."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from danlu.demo.server import node
from danlu.tests.server import Server

from .graphs import training


@pytest.fixture(scope="module")
def folders(studio: Server) -> Path:
    """`options/`: two pictures with tags; `others/`: one of something else; `masks/`: one mask."""
    root = studio.base / "input"
    for name, seeds in (("options", (1, 2)), ("others", (3,))):
        (root / name).mkdir()
        for seed in seeds:
            values = np.random.RandomState(seed).randint(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(values).save(root / name / f"{seed}.png")
            (root / name / f"{seed}.txt").write_text(f"{name}, red, blue, number {seed}")
    (root / "masks").mkdir()
    Image.new("L", (64, 64), 255).save(root / "masks" / "1.png")
    return root


def graph(regularised: bool, dataset: dict[str, Any], encode: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    made = training("flux", folder="options", name="options", steps=2)
    made["load"]["inputs"].update(dataset)
    made["encode"]["inputs"].update(encode)
    made["training"] = node("DanluTrainingConfig", **config)
    made["train"]["inputs"]["training_config"] = ["training", 0]
    if regularised:
        made["others"] = node("DanluLoadDataset", folder="others", role="regularisation")
        made["encode"]["inputs"]["regularisation"] = ["others", 0]
    return made


def manifest(studio: Server) -> dict[str, Any]:
    files = (studio.base / "user" / "__danlu" / "runs").glob("*/manifest.json")
    return json.loads(max(files, key=lambda file: file.stat().st_mtime_ns).read_text(encoding="utf-8"))


def test_everything_at_once(studio: Server, folders: Path) -> None:
    run = studio.run(
        graph(
            True,
            {"mask_source": "folder", "mask_folder": "masks", "class_word": "toy"},
            {"shuffle_tags": True, "keep_tokens": 1, "caption_variants": 3, "flip": True},
            {
                "optimizer": "other",
                "optimizer_args": "class=NAdam, betas=(0.9, 0.95)",
                "lr_scheduler": "cosine_with_restarts",
                "timestep_sampling": "resolution_shift",
                "loss": "huber",
                "loss_weighting": "cosmap",
                "lora_plus_ratio": 4.0,
                "ema_decay": 0.9,
                "sigma_min": 0.1,
                "unmasked_weight": 0.5,
            },
        )
    )
    assert run.ok, run.explain()
    told = run.outputs["encode"]["text"][0]
    assert told.startswith("2 images in 1 size")
    assert "Regularisation: 1 image" in told
    assert "Without a mask, trained as a whole: 2.png" in told
    report = run.outputs["train"]["text"][0]
    assert "2 images × repeats 1" in report, "regularisation pictures are not counted"
    assert "prior_preservation 1" in report, "pictures for it turn it on"
    kept = manifest(studio)["training"]
    assert (kept["optimizer"], kept["loss"], kept["lora_plus_ratio"], kept["lr_cycles"]) == ("other", "huber", 4.0, 3)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"loss_weighting": "min_snr"}, "loss_weighting min_snr is not for a model that predicts flow"),
        ({"optimizer": "adamw8bit"}, "needs the package bitsandbytes"),
        ({"optimizer_args": "lr=__import__('os')"}, "optimizer_args"),
        ({"sigma_min": 0.9, "sigma_max": 0.5}, "sigma_min is 0.9 and sigma_max 0.5"),
    ],
)
def test_what_cannot_work_is_said_on_the_node(
    studio: Server, folders: Path, config: dict[str, Any], message: str
) -> None:
    run = studio.run(graph(False, {}, {}, config))
    assert run.error is not None and message in run.error["exception_message"]
    assert run.error["exception_type"].endswith("DanluError")
