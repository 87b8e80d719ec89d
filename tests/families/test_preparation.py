"""What is settled before training: experts of Wan 2.2, distilled bases, models that come with a LoRA or are unknown."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comfy.model_patcher
import pytest
import torch

from danlu.errors import DanluError
from danlu.host.families import distilled_sign, expert_of, is_ambiguous
from danlu.host.preparation import ModelChoices, Prepared, prepare
from danlu.nodes.train import DanluTrainLoRA
from danlu.training.config import LoRAConfig, TrainingConfig

from ..coroutines import finished
from ..host.support import make_trainer
from ..host.test_lora_files import bypass, ordinary
from .models import FamilyBase, family_data, load_family
from .table import KINDS


def loaded(folder: Path, name: str) -> FamilyBase:
    return load_family(folder, next(kind for kind in KINDS if kind.name == name))


def called(base: FamilyBase, file: str) -> comfy.model_patcher.ModelPatcher:
    """As if the model's file had another name."""
    with torch.inference_mode():
        patcher = base.patcher.clone()
    patcher.cached_patcher_init = (lambda path: path, (f"/models/{file}",)) if file else None
    return patcher


def prepared(
    base: FamilyBase, file: str, training: TrainingConfig | None = None, name: str = "cat", **choices: Any
) -> Prepared:
    with torch.inference_mode():
        data = family_data(base.family)
        return prepare(
            called(base, file), data, training or TrainingConfig(), name, ModelChoices(**choices), LoRAConfig()
        )


def sigmas(found: Prepared) -> tuple[float, float]:
    return found.training.sigma_min, found.training.sigma_max


@pytest.mark.parametrize(
    ("kind", "file", "expert", "range_", "family"),
    [
        ("wan21", "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors", "auto", (0.875, 1.0), "wan22"),
        ("wan21", "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors", "auto", (0.0, 0.875), "wan22"),
        ("wan22_i2v", "Wan2_2-I2V-A14B-HIGH_fp8.safetensors", "auto", (0.9, 1.0), "wan22_i2v"),
        ("wan22_i2v", "wan2.2_i2v_low_noise_14B.safetensors", "auto", (0.0, 0.9), "wan22_i2v"),
        ("wan21", "mine.safetensors", "high", (0.875, 1.0), "wan21"),
        ("wan22_i2v", "", "low", (0.0, 0.9), "wan22_i2v"),
    ],
)
def test_an_expert_is_trained_on_its_own_noise_levels(
    kind: str, file: str, expert: str, range_: tuple[float, float], family: str, family_folder: Path
) -> None:
    found = prepared(loaded(family_folder, kind), file, expert=expert)
    which = "high" if range_[1] == 1.0 else "low"
    assert sigmas(found) == range_
    assert found.model.family == family
    assert found.name == f"cat_{which}"
    assert any(f"the {which} noise expert" in note for note in found.notes)


@pytest.mark.parametrize(("expert", "low", "high"), [("high", 0.9, 1.0), ("low", 0.0, 0.9)])
def test_every_row_is_drawn_from_the_experts_levels(expert: str, low: float, high: float, family_folder: Path) -> None:
    base = loaded(family_folder, "wan22_i2v")
    settings = prepared(base, "", expert=expert).training
    data = family_data(base.family)
    trainer = make_trainer(base, data=data, sigma_min=settings.sigma_min, sigma_max=settings.sigma_max)
    drawn = [float(trainer.rows.batch(step, 0, data.entries[:1]).sigma) for step in range(60)]
    assert low <= min(drawn) < low + 0.2 * (high - low) + 0.25 and max(drawn) <= high
    assert max(drawn) - min(drawn) > 0.3 * (high - low)


@pytest.mark.parametrize("file", ["wan2.2_i2v_14B.safetensors", "", "mix_high_noise_low_noise.safetensors"])
def test_an_expert_that_nothing_tells_is_asked_for(file: str, family_folder: Path) -> None:
    with pytest.raises(DanluError, match="Set expert to high or low"):
        prepared(loaded(family_folder, "wan22_i2v"), file)


def test_a_wan_that_may_be_either_is_asked_for() -> None:
    assert is_ambiguous("wan21", "wan_14B.safetensors", 5120)
    assert not is_ambiguous("wan21", "wan2.1_t2v_14B_bf16.safetensors", 5120)
    assert not is_ambiguous("wan21", "anything.safetensors", 1536)
    assert expert_of("auto", "wan22", "highway.safetensors") is None


@pytest.mark.parametrize("kind", ["wan21", "wan21_i2v", "wan22_5b", "flux"])
def test_one_model_for_all_noise_levels_keeps_them(kind: str, family_folder: Path) -> None:
    found = prepared(loaded(family_folder, kind), "wan2.1_t2v_1.3B.safetensors")
    assert sigmas(found) == (-1, -1)
    assert found.name == "cat"


def test_an_expert_of_another_model_is_refused(family_folder: Path) -> None:
    with pytest.raises(DanluError, match="no expert of Wan 2.2"):
        prepared(loaded(family_folder, "flux"), "", expert="high")
    assert sigmas(prepared(loaded(family_folder, "wan22_i2v"), "", expert="none")) == (-1, -1)


def test_the_users_noise_levels_stay_within_the_experts(family_folder: Path) -> None:
    base, file = loaded(family_folder, "wan21"), "wan2.2_t2v_high_noise.safetensors"
    assert sigmas(prepared(base, file, TrainingConfig(sigma_min=0.5, sigma_max=0.95))) == (0.875, 0.95)
    with pytest.raises(DanluError, match="lie outside of what the high noise expert works at"):
        prepared(base, file, TrainingConfig(sigma_min=0.1, sigma_max=0.5))


def test_a_name_says_the_expert_once(family_folder: Path) -> None:
    base, file = loaded(family_folder, "wan21"), "wan2.2_t2v_high_noise.safetensors"
    assert prepared(base, file, name="cat_high").name == "cat_high"


@pytest.mark.parametrize(
    ("kind", "file", "better"),
    [
        ("schnell", "mine.safetensors", r"Flux\.1 \[dev\]"),
        ("zimage", "z_image_turbo_bf16.safetensors", "Z-Image"),
        ("zimage", "made_turbo.safetensors", "Z-Image"),
        ("klein", "flux-2-klein-4b-fp8.safetensors", r"Flux\.2 Klein Base"),
        ("sdxl", "sdxl_lightning_4step.safetensors", "SDXL base"),
        ("sdxl", "Hyper-SDXL-8steps.safetensors", "SDXL base"),
        ("sd3", "sd3.5_large_turbo.safetensors", r"Stable Diffusion 3\.5"),
        ("krea2", "krea2_turbo.safetensors", "Krea 2 Raw"),
        ("qwen_image", "qwen_image_distill_full_fp8.safetensors", "Qwen-Image"),
    ],
)
def test_a_distilled_base_needs_a_yes(kind: str, file: str, better: str, family_folder: Path) -> None:
    base = loaded(family_folder, kind)
    with pytest.raises(DanluError, match=f"Train on {better}.* or turn on train_distilled"):
        prepared(base, file)
    found = prepared(base, file, train_distilled=True)
    assert any("distilled base" in note for note in found.notes)


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("zimage", "z_image_bf16.safetensors"),
        ("zimage", "z_image_de_turbo_v1.safetensors"),
        ("zimage", "Z-Image-De-Turbo.safetensors"),
        ("schnell", "flux-schnell-undistilled.safetensors"),
        ("klein", "flux-2-klein-base-4b.safetensors"),
        ("klein", ""),
        ("schnell", "OpenFLUX.1.safetensors"),
        ("krea2", "krea2_raw.safetensors"),
        ("flux", "flux1-dev.safetensors"),
        ("sdxl", "animagine-xl-4.0.safetensors"),
    ],
)
def test_a_base_that_is_none_of_these_is_not_asked_about(kind: str, file: str, family_folder: Path) -> None:
    base = loaded(family_folder, kind)
    assert distilled_sign(base.patcher.model, base.family.row, file) is None
    assert prepared(base, file).notes == ()


@pytest.mark.parametrize(("kind", "label"), [("kontext", r"Flux\.1 Kontext"), ("qwen_image_edit", "Qwen-Image-Edit")])
def test_pairs_are_trained_as_edits(kind: str, label: str, family_folder: Path) -> None:
    found = prepared(loaded(family_folder, kind), "")
    assert found.model.family == kind
    assert any(re.match(f"Pairs: trained as {label}", note) for note in found.notes)


@pytest.mark.parametrize("load", [ordinary, bypass])
def test_a_lora_on_the_model_is_told(load: Any, family_folder: Path) -> None:
    base = loaded(family_folder, "flux")
    adapters = make_trainer(base, data=family_data(base.family)).adapters
    wired = replace(base, patcher=load(base.patcher, adapters.state_dict()))
    assert any("comes with a LoRA" in note for note in prepared(wired, "").notes)


def test_a_family_that_is_not_known_is_told(family_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = loaded(family_folder, "sd3")
    monkeypatch.setattr("danlu.host.families._FAMILIES", ())
    found = prepared(base, "")
    assert found.model.family == "generic"
    assert any(note.startswith("SD3: not a family that Danlu was tested with") for note in found.notes)


def test_the_node_hands_its_choices_on(family_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = loaded(family_folder, "wan22_i2v")
    monkeypatch.setattr("danlu.host.training.runs_folder", lambda: tmp_path)
    monkeypatch.setattr(DanluTrainLoRA, "hidden", SimpleNamespace(unique_id=None, prompt=None, extra_pnginfo=None))
    common: dict[str, Any] = {
        "model": called(base, "wan2.2_i2v_turbo.safetensors"),
        "training_data": family_data(base.family),
        "training_config": TrainingConfig(learning_rate=1e-3),
        "steps": 1,
        "save_every": -1,
        "keep_last": -1,
        "seed": 0,
        "name": "cat",
    }

    async def executed(**chosen: Any) -> Any:
        with torch.inference_mode():  # of the thread, as the host's is
            return await DanluTrainLoRA.execute(**common, **chosen)

    with pytest.raises(DanluError, match="turn on train_distilled"):
        finished(executed(expert="low"))
    with pytest.raises(DanluError, match="no safetensors file 'gone.safetensors'"):
        finished(executed(expert="low", assistant_lora="gone.safetensors"))
    output = finished(executed(expert="low", train_distilled=True))
    handle = output.args[1]
    assert handle.name == "cat_low"
    settings = json.loads((handle.folder / "manifest.json").read_text(encoding="utf-8"))["training"]
    assert (settings["sigma_min"], settings["sigma_max"]) == (0.0, 0.9)
    assert "the low noise expert" in output.ui["text"][0]
