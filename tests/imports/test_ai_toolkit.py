"""ai-toolkit's YAML: what becomes of each value."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from danlu.training.config import LoRAConfig, TrainingConfig
from danlu.training.imports import import_config

FLUX = """
job: extension
config:
  name: "my_first_flux_lora_v1"
  process:
    - type: 'sd_trainer'
      training_folder: "output"
      device: cuda:0
      trigger_word: "p3r5on"
      network:
        type: "lora"
        linear: 16
        linear_alpha: 8
      save:
        dtype: float16
        save_every: 250
        max_step_saves_to_keep: 4
      datasets:
        - folder_path: "/path/to/images"
          caption_ext: "txt"
          caption_dropout_rate: 0.05
          shuffle_tokens: false
          cache_latents_to_disk: true
          resolution: [ 512, 768, 1024 ]
      train:
        batch_size: 2
        steps: 2000
        gradient_accumulation_steps: 3
        train_unet: true
        train_text_encoder: false
        gradient_checkpointing: true
        noise_scheduler: "flowmatch"
        optimizer: "adamw8bit"
        optimizer_params: {weight_decay: 1e-4, betas: [0.9, 0.99]}
        lr: 4e-4
        ema_config:
          use_ema: true
          ema_decay: 0.98
        dtype: bf16
        timestep_type: sigmoid
        unheard_of: 7
      model:
        name_or_path: "black-forest-labs/FLUX.1-dev"
        is_flux: true
        quantize: true
      sample:
        prompts: ["a", "b"]
meta:
  name: "[name]"
"""


def changed(**values: Any) -> str:
    """The config with other values, by path with __ for the dots; None removes."""
    data = yaml.safe_load(FLUX)
    for path, value in values.items():
        at = data["config"]["process"][0]
        *parents, last = path.split("__")
        for parent in parents:
            at = at[int(parent)] if isinstance(at, list) else at.setdefault(parent, {})
        if value is None:
            at.pop(last, None)
        else:
            at[last] = value
    return yaml.safe_dump(data)


def test_a_whole_config() -> None:
    found = import_config(FLUX)
    assert found.lora == LoRAConfig(algorithm="lora", rank=16, alpha=16.0)
    assert found.training == TrainingConfig(
        learning_rate=4e-4,
        optimizer="adamw8bit",
        optimizer_args="betas=(0.9, 0.99)",
        weight_decay=1e-4,
        batch_size=2,
        gradient_accumulation=3,
        precision="bf16",
        gradient_checkpointing="on",
        timestep_sampling="sigmoid",
        ema_decay=0.98,
        caption_dropout=0.05,
        length="2000 steps",
    )


def test_the_report_says_where_the_rest_belongs() -> None:
    report = import_config(FLUX).report
    for line in (
        "alpha 16 (network.linear_alpha: scale 1, as ai-toolkit trains this model)",
        "Load Dataset: trigger p3r5on (trigger_word)",
        "Load Dataset: folder /path/to/images",
        "Encode Dataset: resolution 512, 768, 1024",
        "Train LoRA: save_every 250",
        "Train LoRA: keep_last 4",
        "Save LoRA: dtype fp16",
        "Train LoRA: name my_first_flux_lora_v1",
    ):
        assert line in report
    left_out = report[report.index("Not converted") :]
    assert "train.unheard_of (7)" in left_out and "noise_scheduler: read off the model" in left_out
    assert not any(word in left_out for word in ("sample", "training_folder", "caption_ext", "quantize"))


@pytest.mark.parametrize(
    ("model", "alpha", "expected"),
    [
        ({"is_flux": True}, 8, 16.0),
        ({"arch": "zimage"}, 8, 16.0),
        ({"arch": "wan22_14b:t2v"}, None, 16.0),
        ({"is_xl": True}, 8, 8.0),
        ({"arch": "sdxl"}, 8, 8.0),
        ({"arch": "sd15"}, None, 1.0),
        ({}, None, 1.0),
    ],
)
def test_alpha_means_what_it_meant_there(model: dict[str, Any], alpha: int | None, expected: float) -> None:
    text = changed(model={"name_or_path": "x", **model}, network__linear_alpha=alpha)
    assert import_config(text).lora.alpha == expected


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ({"train__optimizer": "Prodigy"}, "optimizer", "prodigy"),
        ({"train__optimizer": "lion8bit"}, "optimizer", "lion"),
        ({"train__optimizer": "automagic"}, "optimizer", "auto"),
        ({"train__lr_scheduler": "constant_with_warmup"}, "lr_scheduler", "constant"),
        ({"train__lr_scheduler_params": {"num_warmup_steps": 30}}, "warmup_steps", 30),
        ({"train__lr_scheduler_params": {"num_cycles": 4}}, "lr_cycles", 4),
        ({"train__dtype": "fp16"}, "precision", "auto"),
        ({"train__gradient_checkpointing": False}, "gradient_checkpointing", "off"),
        ({"train__ema_config__use_ema": False}, "ema_decay", -1),
        ({"train__ema_config__ema_decay": None}, "ema_decay", 0.999),
        ({"train__timestep_type": "weighted"}, "timestep_sampling", "uniform"),
        ({"train__timestep_type": "flux_shift"}, "timestep_sampling", "resolution_shift"),
        ({"train__timestep_type": "shift"}, "timestep_sampling", "shift"),
        ({"train__timestep_type": "lumina2_shift"}, "timestep_sampling", "shift"),
        ({"train__content_or_style": "content"}, "timestep_sampling", "high_noise"),
        ({"train__content_or_style": "style"}, "timestep_sampling", "low_noise"),
        ({"train__content_or_style": "balanced"}, "timestep_sampling", "sigmoid"),
        ({"train__min_denoising_steps": 100}, "sigma_max", 0.9),
        ({"train__max_denoising_steps": 900}, "sigma_min", pytest.approx(0.1)),
        ({"train__loss_type": "mae"}, "loss", "l1"),
        ({"train__loss_type": "wavelet"}, "loss", "auto"),
        ({"train__min_snr_gamma": 5.0}, "loss_weighting", "min_snr"),
        ({"train__noise_offset": 0.1}, "noise_offset", 0.1),
        ({"train__max_grad_norm": 2}, "max_grad_norm", 2),
        ({"train__text_encoder_lr": 1e-5, "train__train_text_encoder": True}, "text_encoder_learning_rate", 1e-5),
        ({"train__unet_lr": 3e-5}, "learning_rate", 3e-5),
        ({"train__diff_output_preservation": True}, "prior_preservation", 1.0),
        ({"train__steps": None}, "length", ""),
    ],
)
def test_values_of_the_training(change: dict[str, Any], name: str, value: Any) -> None:
    assert getattr(import_config(changed(**change)).training, name) == value


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ({"network__type": "lokr"}, "algorithm", "lokr"),
        ({"network__type": "lorm"}, "algorithm", "auto"),
        ({"network__dropout": 0.1}, "dropout", 0.1),
        ({"train__train_text_encoder": True}, "text_encoder", "on"),
        ({"network__conv": 8}, "targets", "auto"),
    ],
)
def test_values_of_the_lora(change: dict[str, Any], name: str, value: Any) -> None:
    assert getattr(import_config(changed(**change)).lora, name) == value


def test_convolutions_of_unets_have_a_rank_of_their_own() -> None:
    lora = import_config(changed(model={"is_xl": True}, network__conv=8, network__conv_alpha=4)).lora
    assert lora.targets == "all-linear+conv"
    assert lora.per_block.endswith(": rank=8, alpha=4")


def test_pairs_are_told_as_not_converted() -> None:
    report = import_config(changed(datasets__0__control_path="/before")).report
    assert "datasets.0.control_path (/before)" in report[report.index("Not converted") :]


def test_a_dropout_of_other_datasets_is_told() -> None:
    more = yaml.safe_load(FLUX)["config"]["process"][0]["datasets"] * 2
    same = import_config(changed(datasets=more))
    assert "caption_dropout_rate" not in same.report[same.report.index("Not converted") :]
    other = import_config(changed(datasets=[more[0], {**more[1], "caption_dropout_rate": 0.3}]))
    assert other.training.caption_dropout == 0.05
    assert "datasets.1.caption_dropout_rate (0.3)" in other.report[other.report.index("Not converted") :]


def test_json_is_read_too() -> None:
    assert import_config(json.dumps(yaml.safe_load(FLUX))) == import_config(FLUX)
