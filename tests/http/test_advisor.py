"""Validation, advisor, keep best and test prompts on the real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from danlu.advisor.measures import Measure
from danlu.demo.server import node
from danlu.tests.server import Server

from .graphs import run_folder, sampling, training

COUNT = 14


@pytest.fixture(scope="module")
def folders(studio: Server) -> Path:
    """`alike/`: pictures of one thing; `unseen/`: three more of it, without a trigger in their captions."""
    thing = np.random.RandomState(5).randint(40, 216, (64, 64, 3))
    root = studio.base / "input"
    for name, seeds in (("alike", range(COUNT)), ("unseen", range(100, 103))):
        (root / name).mkdir()
        for seed in seeds:
            pixels = thing + np.random.RandomState(seed).randint(-30, 31, thing.shape)
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{seed}.png")
            (root / name / f"{seed}.txt").write_text(f"a thing, number {seed}", encoding="utf-8")
    return root


def graph(rate: float, name: str, steps: int = 12, **train: Any) -> dict[str, Any]:
    made = training("flux", folder="alike", name=name, steps=steps, save_every=3, **train)
    made["training"] = node("DanluTrainingConfig", learning_rate=rate)
    made["train"]["inputs"]["training_config"] = ["training", 0]
    made["advisor"] = node("DanluAdvisor", run=["train", 1])
    return made


def measures(studio: Server) -> list[Measure]:
    """Of the newest run."""
    files = (studio.base / "user" / "__danlu" / "runs").glob("*/validation.jsonl")
    newest = max(files, key=lambda file: file.stat().st_mtime_ns)
    return [Measure.from_json(json.loads(line)) for line in newest.read_text(encoding="utf-8").splitlines()]


def test_from_training_to_the_kept_file(studio: Server, folders: Path) -> None:
    made = graph(1e-2, "learned")
    made["keep"] = node("DanluKeepBest", checkpoints=["advisor", 4])
    made["apply"] = node("LoraModelLoader", model=["unet", 0], lora=["advisor", 3], strength_model=1.0, bypass=False)
    made["curve"] = node("SaveImage", images=["advisor", 1], filename_prefix="advice")
    run = studio.run({**made, **sampling("flux", ["apply", 0], prefix="advised")})
    assert run.ok, run.explain()
    told = run.outputs["train"]["text"][0]
    assert "Held out for validation, never trained on: " in told and "13 images × repeats 1" in told
    assert "Validation: 1 held-out image; each checkpoint takes" in told and "Advisor: Step" in told
    assert [m.step for m in measures(studio)] == [0, 3, 6, 9, 12]
    report = run.outputs["advisor"]["text"][0]
    assert "is recommended" in report and "1 held-out image that nothing was trained on" in report
    assert run.outputs["advisor"]["images"] and run.outputs["curve"]["images"]
    path = Path(run.outputs["keep"]["text"][0].splitlines()[0])
    assert path.name == "learned_best.safetensors" and path.parent == studio.base / "models" / "loras" / "danlu"
    step = next(line for line in run.outputs["keep"]["text"][0].splitlines() if line.startswith("step"))
    assert "good" in step and f"Step {step.split()[1].strip(',')} is recommended" in report
    (pin,) = (run_folder(studio, "learned") / "pins").iterdir()
    assert (int(pin.name), pin.read_text()) == (int(step.split()[1].strip(",")), "kept as the best")
    listed = studio.get("/object_info/LoraLoader")["LoraLoader"]["input"]["required"]["lora_name"]
    assert "danlu/learned_best.safetensors" in str(listed)


def test_what_learned_nothing_is_not_kept(studio: Server, folders: Path) -> None:
    made = graph(1e-7, "nothing")
    made["keep"] = node("DanluKeepBest", checkpoints=["train", 2])
    run = studio.run(made)
    assert run.error is not None and run.error["exception_type"].endswith("DanluError")
    assert "No checkpoint of 'nothing' is good" in run.error["exception_message"]
    assert not list((studio.base / "models" / "loras").rglob("nothing*"))


def test_a_folder_for_validation(studio: Server, folders: Path) -> None:
    made = graph(1e-2, "folder", steps=3)
    made["unseen"] = node("DanluLoadDataset", folder="unseen", role="validation")
    made["encode"]["inputs"]["validation"] = ["unseen", 0]
    run = studio.run(made)
    assert run.ok, run.explain()
    assert "Validation: 3 images" in run.outputs["encode"]["text"][0]
    assert f"{COUNT} images × repeats 1" in run.outputs["train"]["text"][0], "all of the others are trained on"
    assert measures(studio)[-1].images == (3, 3)
    assert measures(studio)[-1].leak is not None, "their captions have got the trigger"


def test_the_same_pictures_for_validation_are_refused(studio: Server, folders: Path) -> None:
    made = graph(1e-2, "twice", steps=3)
    made["unseen"] = node("DanluLoadDataset", folder="alike", role="validation")
    made["encode"]["inputs"]["validation"] = ["unseen", 0]
    run = studio.run(made)
    assert run.error is not None and "The input 'validation' holds only images" in run.error["exception_message"]


def test_prompts(studio: Server, folders: Path) -> None:
    made = {
        "load": node("DanluLoadDataset", folder="alike", trigger="zorp", class_word="toy"),
        "prompts": node("DanluTestPrompts", kind="product", dataset=["load", 0]),
        "texts": node("PreviewAny", source=["prompts", 0]),
        "roles": node("PreviewAny", source=["prompts", 1]),
    }
    run = studio.run(made)
    assert run.ok, run.explain()
    texts, roles = (run.outputs[name]["text"][0].splitlines() for name in ("texts", "roles"))
    assert len(texts) == len(roles) == 10 and texts[0] == "a photo of zorp toy on a white background"
    assert roles[0] == "plain" and roles[-1] == "neighbour class"
    made["others"] = node("DanluLoadDataset", folder="alike", trigger="never", role="regularisation")
    made["join"] = node("DanluJoinDatasets", **{"datasets.dataset0": ["others", 0], "datasets.dataset1": ["load", 0]})
    made["prompts"]["inputs"]["dataset"] = ["join", 0]
    run = studio.run(made)
    assert run.ok, run.explain()
    assert run.outputs["texts"]["text"][0].splitlines() == texts, "of the part that is trained"
