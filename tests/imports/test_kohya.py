"""kohya's TOML: what becomes of each value."""

from __future__ import annotations

from typing import Any

import pytest

from danlu.training.config import LoRAConfig, TrainingConfig
from danlu.training.imports import import_config
from danlu.training.length import planned_steps

SDXL = """
[model]
pretrained_model_name_or_path = "/models/sdxl.safetensors"
[dataset]
train_data_dir = "./train/aki"
resolution = "1024,1024"
shuffle_caption = true
keep_tokens = 1
[save]
output_name = "aki"
output_dir = "./output"
save_precision = "fp16"
save_every_n_epochs = 2
[network]
network_module = "networks.lora"
network_dim = 32
network_alpha = 16
network_train_unet_only = true
[train]
max_train_epochs = 10
train_batch_size = 2
unet_lr = 1e-4
text_encoder_lr = 1e-5
learning_rate = 2e-4
optimizer_type = "AdamW8bit"
optimizer_args = ["weight_decay=0.1", "betas=0.9,0.99"]
lr_scheduler = "cosine_with_restarts"
lr_warmup_steps = 100
mixed_precision = "bf16"
gradient_checkpointing = true
min_snr_gamma = 5
noise_offset = 0.03
seed = 1337
clip_skip = 2
odd_new_option = "x"
"""


def kohya(*lines: str) -> str:
    return "\n".join(('network_module = "networks.lora"', *lines))


def test_a_whole_config() -> None:
    found = import_config(SDXL)
    assert found.lora == LoRAConfig(algorithm="lora", rank=32, alpha=16.0, text_encoder="off")
    assert found.training == TrainingConfig(
        learning_rate=1e-4,
        optimizer="adamw8bit",
        optimizer_args="betas=(0.9,0.99)",
        weight_decay=0.1,
        lr_scheduler="cosine_with_restarts",
        warmup_steps=100,
        batch_size=2,
        precision="bf16",
        gradient_checkpointing="on",
        loss_weighting="min_snr",
        min_snr_gamma=5.0,
        noise_offset=0.03,
        length="10 epochs",
    )


def test_epochs_become_steps_once_the_pictures_are_known() -> None:
    length = import_config(SDXL).training.length
    assert planned_steps(length, pictures=25, samples_per_epoch=250, rows=2) == 1250


def test_the_report_says_where_the_rest_belongs() -> None:
    report = import_config(SDXL).report
    for line in (
        "From a config of kohya",
        "rank 32 (network_dim)",
        "alpha 16 (network_alpha)",
        "learning_rate 0.0001 (unet_lr)",
        "Load Dataset: folder ./train/aki",
        "Encode Dataset: resolution 1024 (",
        "Encode Dataset: shuffle_tags",
        "Encode Dataset: keep_tokens 1",
        "Train LoRA: name aki",
        "Train LoRA: seed 1337",
        "CLIP Set Last Layer before Encode Dataset: -2",
        "the model: wire it",
    ):
        assert line in report
    assert report[report.index("Not converted") :].splitlines()[1:] == [
        "  odd_new_option (x)",
        "All other values stay on auto.",
    ]


@pytest.mark.parametrize(
    ("lines", "rank", "alpha"),
    [
        ((), 4, 1.0),
        (("network_dim = 16",), 16, 1.0),
        (("network_dim = 16", "network_alpha = 0"), 16, 16.0),
        (("network_dim = 16", "network_alpha = 8.5"), 16, 8.5),
    ],
)
def test_kohyas_alpha_is_one_unless_given(lines: tuple[str, ...], rank: int, alpha: float) -> None:
    lora = import_config(kohya(*lines)).lora
    assert (lora.rank, lora.alpha) == (rank, alpha)


@pytest.mark.parametrize(
    ("module", "arguments", "algorithm"),
    [
        ("networks.lora_flux", [], "lora"),
        ("lycoris.kohya", ["algo=loha"], "loha"),
        ("lycoris.kohya", ["algo=lokr", "factor=8"], "lokr"),
        ("lycoris.kohya", ["algo=locon", "dora_wd=True"], "dora"),
        ("lycoris.kohya", ["algo=diag-oft"], "oft"),
        ("lycoris.kohya", ["algo=ia3"], "auto"),
    ],
)
def test_algorithms(module: str, arguments: list[str], algorithm: str) -> None:
    found = import_config(f'network_module = "{module}"\nnetwork_args = {arguments}')
    assert found.lora.algorithm == algorithm
    assert ("factor=8" in found.report) == ("factor=8" in arguments)


def test_convolutions_have_a_rank_of_their_own() -> None:
    lora = import_config(kohya('network_args = ["conv_dim=8", "conv_alpha=4", "loraplus_lr_ratio=16"]')).lora
    assert lora.targets == "all-linear+conv"
    assert lora.per_block.endswith(": rank=8, alpha=4")
    assert import_config(kohya('network_args = ["loraplus_lr_ratio=16"]')).training.lora_plus_ratio == 16


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("max_train_steps = 3000", "length", "3000 steps"),
        ('timestep_sampling = "shift"\ndiscrete_flow_shift = 3.1582', "timestep_sampling", "logit_normal"),
        ('timestep_sampling = "shift"\ndiscrete_flow_shift = 3.1582', "timestep_shift", 3.1582),
        ('timestep_sampling = "flux_shift"', "timestep_sampling", "resolution_shift"),
        ('timestep_sampling = "sigma"\ndiscrete_flow_shift = 3.0', "timestep_sampling", "shift"),
        ("discrete_flow_shift = 3.0", "timestep_sampling", "shift"),
        ("discrete_flow_shift = 3.0", "timestep_shift", 3.0),
        ('weighting_scheme = "logit_normal"\ndiscrete_flow_shift = 3.0', "timestep_sampling", "logit_normal"),
        ('weighting_scheme = "logit_normal"\ndiscrete_flow_shift = 3.0', "timestep_shift", 3.0),
        ('timestep_sampling = "sigmoid"\ndiscrete_flow_shift = 3.0', "timestep_shift", -1),
        ('timestep_sampling = "warped"', "timestep_sampling", "auto"),
        ('weighting_scheme = "cosmap"', "loss_weighting", "cosmap"),
        ('weighting_scheme = "logit_normal"', "timestep_sampling", "logit_normal"),
        ("min_timestep = 200", "sigma_min", 0.2),
        ("max_timestep = 900", "sigma_max", 0.9),
        ('loss_type = "l2"', "loss", "mse"),
        ('loss_type = "smooth_l1"', "loss", "smooth_l1"),
        ("debiased_estimation_loss = true", "loss_weighting", "debiased"),
        ("multires_noise_iterations = 6", "multires_noise", 0.3),
        ('prior_loss_weight = 0.5\nreg_data_dir = "/reg"', "prior_preservation", 0.5),
        ("prior_loss_weight = 0.5", "prior_preservation", -1),
        ('prior_loss_weight = 1.0\nreg_data_dir = "/reg"', "prior_preservation", -1),
        ("prior_loss_weight = 1.0", "prior_preservation", -1),
        ("caption_dropout_rate = 0.1", "caption_dropout", 0.1),
        ("gradient_accumulation_steps = 4", "gradient_accumulation", 4),
        ("lr_scheduler_num_cycles = 3", "lr_cycles", 3),
        ("max_grad_norm = 0.5", "max_grad_norm", 0.5),
        ("lr_warmup_steps = 0.1\nmax_train_steps = 3000", "warmup_steps", 300),
        ("lr_warmup_steps = 0.1\nmax_train_epochs = 3", "warmup_steps", -1),
        ('optimizer_type = "prodigyplus.ProdigyPlusScheduleFree"', "optimizer", "auto"),
        ('optimizer_type = "bitsandbytes.optim.AdamW8bit"', "optimizer", "adamw8bit"),
        ("use_8bit_adam = true", "optimizer", "adamw8bit"),
        ('mixed_precision = "no"', "precision", "fp32"),
        ("text_encoder_lr = [5e-5, 1e-5]", "text_encoder_learning_rate", 5e-5),
    ],
)
def test_values_of_the_training(line: str, name: str, value: Any) -> None:
    assert getattr(import_config(kohya(line)).training, name) == value


@pytest.mark.parametrize(
    ("line", "switch"),
    [
        ("text_encoder_lr = 1e-5", "on"),
        ("text_encoder_lr = 0.0", "off"),
        ("network_train_unet_only = true\ntext_encoder_lr = 1e-5", "off"),
        ("cache_text_encoder_outputs = true", "off"),
        ("", "auto"),
    ],
)
def test_text_encoder(line: str, switch: str) -> None:
    assert import_config(kohya(line)).lora.text_encoder == switch


@pytest.mark.parametrize(
    ("value", "side"), [("512", 512), ('"512,512"', 512), ("[1024, 256]", 512), ('"768,1344"', 1016)]
)
def test_resolution_is_a_side(value: str, side: int) -> None:
    assert f"resolution {side} (" in import_config(kohya(f"resolution = {value}")).report
    assert "resolution: it is neither" in import_config(kohya('resolution = "a,b,c"')).report


@pytest.mark.parametrize("value", ["nan", "inf", "many"])
def test_a_rank_of_convolutions_that_is_no_number(value: str) -> None:
    assert import_config(kohya(f'network_args = ["conv_dim={value}"]')).lora.targets == "auto"


def test_a_config_of_data_alone() -> None:
    text = """
    [general]
    flip_aug = true
    [[datasets]]
    resolution = 512
    batch_size = 4
      [[datasets.subsets]]
      image_dir = 'C:\\hoge'
      num_repeats = 10
    """
    found = import_config(text)
    assert found.training == TrainingConfig(batch_size=4)
    assert found.lora == LoRAConfig()
    assert r"folder C:\hoge" in found.report and "repeats 10" in found.report and "Encode Dataset: flip" in found.report


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('timestep_sampling = "sigmoid"\ndiscrete_flow_shift = 3.0', "discrete_flow_shift (3): timestep_sampling"),
        ('timestep_sampling = "shift"', "discrete_flow_shift (not set): 3 in sd-scripts"),
    ],
)
def test_a_shift_that_is_not_taken_over_is_told(line: str, said: str) -> None:
    report = import_config(kohya(line)).report
    assert said in report[report.index("Not converted") :]
