"""What a file says about itself."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from danlu.training.adapters.continued import StartLora
from danlu.training.config import TrainingConfig
from danlu.training.facts import checkpoint_facts, tag_frequency
from danlu.training.files import write_lora
from danlu.training.metadata import architecture, metadata
from danlu.training.request import TrainRequest

from ..training.toys import ToyModel, entry, settings, training_data
from .loras import facts, lora


def test_kohyas_keys() -> None:
    found = metadata("thing", facts(learning_rate=2e-4, optimizer_args="betas=(0.9, 0.99)", batch_size=2))
    expected = {
        "ss_output_name": "thing",
        "ss_base_model_version": "flux1",
        "ss_network_module": "networks.lora_flux",
        "ss_network_dim": "4",
        "ss_network_alpha": "3.0",
        "ss_learning_rate": "0.0002",
        "ss_optimizer": "adamw betas=(0.9, 0.99)",
        "ss_batch_size_per_device": "2",
        "ss_steps": "2",
        "ss_seed": "7",
        "ss_num_train_images": "3",
        "ss_tag_frequency": '{"zorp": {"zorp": 3, "a cat": 2}}',
    }
    assert {key: found[key] for key in expected} == expected
    assert all(isinstance(value, str) for value in found.values())


def test_modelspec_keys() -> None:
    found = metadata("thing", facts("sdxl") | {"prediction": "v"})
    assert found["modelspec.sai_model_spec"] == "1.0.1"
    assert found["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    assert found["modelspec.title"] == "thing"
    assert found["modelspec.resolution"] == "64x32"
    assert found["modelspec.prediction_type"] == "v"
    assert found["modelspec.trigger_phrase"] == "zorp"
    assert found["modelspec.tags"] == "a cat"


def test_our_whole_configuration() -> None:
    config = json.loads(metadata("thing", facts(noise_offset=0.05))["danlu.config"])
    assert config["training"]["noise_offset"] == 0.05
    assert config["lora"]["rank"] == 4


@pytest.mark.parametrize(
    ("algorithm", "arguments"),
    [
        ("loha", {"algo": "loha"}),
        ("lokr", {"algo": "lokr"}),
        ("oft", {"algo": "diag-oft"}),
        ("dora", {"algo": "locon", "dora_wd": True}),
    ],
)
def test_other_algorithms_are_lycoris_to_kohyas_readers(algorithm: str, arguments: dict[str, object]) -> None:
    known = facts()
    config = json.loads(known["config"])
    config["lora"]["algorithm"] = algorithm
    found = metadata("thing", known | {"config": json.dumps(config)})
    assert found["ss_network_module"] == "lycoris.kohya"
    assert json.loads(found["ss_network_args"]) == arguments
    assert ("danlu.dora" in found) == (algorithm == "dora")


@pytest.mark.parametrize(
    ("family", "prediction", "names"),
    [
        ("sd15", "eps", ("stable-diffusion-v1", "sd_v1")),
        ("sd21", "v", ("stable-diffusion-v2-768-v", "sd_v2_v")),
        ("sd21", "eps", ("stable-diffusion-v2-512", "sd_v2")),
        ("sdxl_v", "v", ("stable-diffusion-xl-v1-base", "sdxl_base_v1-0")),
        ("flux2", "flow", ("flux-2-dev", "flux2")),
        ("kontext", "flow", ("flux-1-dev", "flux1")),
        ("wan22_i2v", "flow", ("wan2.1", "wan2.1")),
        ("hunyuan_image", "flow", ("hunyuan_image", "hunyuan_image")),
        ("qwen_image_edit", "flow", ("Qwen-Image-Edit", "qwen_image_edit")),
        ("qwen_image", "flow", ("Qwen-Image", "qwen_image")),
        ("something_new", "flow", ("something_new", "something_new")),
        ("generic", "flow", ("", "")),
    ],
)
def test_architectures(family: str, prediction: str, names: tuple[str, str]) -> None:
    assert architecture(family, prediction) == names


def test_hashes_are_of_the_tensors(tmp_path: Path) -> None:
    def hashed(name: str, extra: dict[str, str]) -> dict[str, str]:
        path = write_lora(tmp_path, name, lora(), metadata(name, facts()) | extra)
        raw = path.read_bytes()
        end = 8 + int.from_bytes(raw[:8], "little")
        found = json.loads(raw[8:end])["__metadata__"]
        assert found["sshs_model_hash"] == hashlib.sha256(raw[end:]).hexdigest()
        assert found["modelspec.hash_sha256"] == "0x" + found["sshs_model_hash"]
        assert len(found["sshs_legacy_hash"]) == 8
        return found

    assert hashed("a", {})["sshs_model_hash"] == hashed("b", {"workflow": "w"})["sshs_model_hash"]


def test_tags_count_pictures_not_repeats_nor_resolutions() -> None:
    cat, dog = ("zorp, a cat, red",), ("zorp, a dog",)
    entries = [entry("1", captions=cat), entry("1", repeats=9, size=(64, 64), captions=cat), entry("2", captions=dog)]
    assert tag_frequency(entries) == {"zorp": 2, "a cat": 1, "a dog": 1, "red": 1}


def test_a_checkpoints_facts_make_a_whole_file(tmp_path: Path) -> None:
    data = training_data(entries=(entry("1", captions=("trig, a cat",)), entry("2", size=(64, 32), repeats=3)))
    resolved = settings(batch_size=2)
    request = TrainRequest(ToyModel(), "base", data, tmp_path, seed=5, training=TrainingConfig())
    found = metadata("thing", checkpoint_facts(request, resolved, step=6))
    assert "danlu.started_from" not in found
    started = replace(request, start=StartLora("a name", "its content", "lora", {}))
    assert metadata("thing", checkpoint_facts(started, resolved, step=6))["danlu.started_from"] == "its content"
    assert json.loads(found["ss_tag_frequency"]) == {"trig": {"a 2": 1, "a cat": 1, "trig": 1}}
    assert found["ss_epoch"] == "3"
    assert found["ss_num_train_images"] == "2"
    assert found["ss_resolution"] == "32x32,32x64"
    buckets = json.loads(found["ss_bucket_info"])["buckets"]
    assert [buckets["0"], buckets["1"]] == [
        {"resolution": [32, 32], "count": 1},
        {"resolution": [32, 64], "count": 1},
    ]
