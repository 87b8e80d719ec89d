"""kohya's configs: `--config_file` and `--dataset_config` of sd-scripts and musubi-tuner (docs/train_network,
docs/config_README). Sections do not count, as there."""

from __future__ import annotations

import math
import re
from typing import Any

from .common import (
    set_arguments,
    set_convolutions,
    set_file_type,
    set_optimizer,
    set_precision,
    set_scheduler,
)
from .source import Imported, Notes, Source

_OWN = ("network_dim", "network_module", "network_alpha", "optimizer_type", "learning_rate", "unet_lr")
_DATA = ("num_repeats", "image_dir", "batch_size", "resolution", "train_batch_size")
_ALGORITHMS = {"lora": "lora", "locon": "lora", "loha": "loha", "lokr": "lokr", "diag-oft": "oft"}
_SAMPLINGS = {
    "uniform": "uniform",
    "sigmoid": "sigmoid",
    "shift": "logit_normal",
    "flux_shift": "resolution_shift",
    "qwen_shift": "resolution_shift",
    "flux2_shift": "resolution_shift",
}

_NO_TRAINING = """
    ae cache_latents cache_latents_to_disk cache_text_encoder_outputs_to_disk caption_extension clip_l enable_bucket
    highvram learning_rate log_prefix log_with logging_dir lowram max_data_loader_n_workers output_dir
    persistent_data_loader_workers sample_every_n_epochs sample_every_n_steps sample_prompts save_model_as sdpa t5xxl
    vae xformers
"""


def is_one(source: Source) -> bool:
    names = {_last(path) for path in source.values}
    return any(key in names for key in _OWN) or sum(key in names for key in _DATA) > 1


def _last(path: str) -> str:
    return path.rpartition(".")[2]


class _Flat(Source):
    """The same source without its sections; of several data sets the first counts."""

    def __init__(self, source: Source) -> None:
        flat: dict[str, Any] = {}
        for path, value in source.values.items():
            flat.setdefault(_last(path), value)
        super().__init__(flat)


def convert(sectioned: Source) -> Imported:
    source, notes = _Flat(sectioned), Notes()
    arguments = _arguments(source, "network_args")
    _network(source, notes, arguments)
    _rates(source, notes)
    _loop(source, notes)
    _noise(source, notes)
    _elsewhere(source, notes)
    notes.dropped += [f"network_args {name}={value}" for name, value in arguments.items()]
    notes.model = source.text("pretrained_model_name_or_path", "dit")
    if notes.model:
        notes.elsewhere.append("the model: wire it into the train node (model)")
    return notes.done("kohya", source)


def _arguments(source: Source, key: str) -> dict[str, str]:
    """`["conv_dim=4", "algo=loha"]`, or the same in one text."""
    value = source.take(key)
    items = value if isinstance(value, list) else re.split(r"\s+(?=\w+=)", str(value).strip()) if value else []
    return {name.strip(): text.strip() for name, _, text in (str(item).partition("=") for item in items) if name}


def _network(source: Source, notes: Notes, arguments: dict[str, str]) -> None:
    module = source.text("network_module")
    algorithm = arguments.pop("algo", "lora").lower() if "lycoris" in module else "lora"
    if arguments.pop("dora_wd", "false").lower() == "true":
        algorithm = "dora"
    known = "dora" if algorithm == "dora" else _ALGORITHMS.get(algorithm)
    if known is None:
        notes.drop(f"network_args algo ({algorithm})", "there is no such algorithm here, it stays on auto")
    elif module:
        notes.set("algorithm", known, "network_module")
    rank, alpha = source.whole("network_dim"), source.number("network_alpha")
    if rank is None and module:
        notes.set("rank", 4, "network_dim", "kohya's own value, as none is given")
    notes.set("rank", rank, "network_dim")
    if alpha is not None or rank is not None or module:
        why = "kohya's own value, as none is given" if alpha is None else ""
        # 0 means "as the rank" there.
        notes.set("alpha", 1.0 if alpha is None else alpha or float(rank or 4), "network_alpha", why)
    conv = _number(arguments.pop("conv_dim", ""))
    set_convolutions(notes, int(conv) if conv else None, _number(arguments.pop("conv_alpha", "")) or 1.0, "conv_dim")
    notes.set("dropout", source.number("network_dropout"), "network_dropout")
    notes.set("lora_plus_ratio", _number(arguments.pop("loraplus_lr_ratio", "")), "loraplus_lr_ratio")


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _rates(source: Source, notes: Notes) -> None:
    rate = source.number("unet_lr", "learning_rate")
    notes.set("learning_rate", rate, "unet_lr" if source.take("unet_lr") is not None else "learning_rate")
    given = source.take("text_encoder_lr")
    if isinstance(given, list):
        notes.drop("text_encoder_lr", "one rate for all text encoders here, the first was taken")
        source.values["text_encoder_lr"] = given[0] if given else None
    text_rate = source.number("text_encoder_lr", "learning_rate")
    unet_only = source.flag("network_train_unet_only") or source.flag("cache_text_encoder_outputs")
    if unet_only or text_rate == 0:
        notes.set("text_encoder", "off", "network_train_unet_only")
    elif given is not None:
        notes.set("text_encoder", "on", "text_encoder_lr", "wire clip into the train node")
        notes.set("text_encoder_learning_rate", text_rate, "text_encoder_lr")
    elif source.text("network_module"):
        why = "kohya would train the text encoder too; set text_encoder to on for the same"
        notes.drop("network_train_unet_only (not set)", why)
    set_optimizer(notes, source.text("optimizer_type"), "optimizer_type")
    if source.flag("use_8bit_adam"):
        notes.set("optimizer", "adamw8bit", "use_8bit_adam")
    set_arguments(notes, _arguments(source, "optimizer_args").items(), "optimizer_args")
    set_scheduler(notes, source.text("lr_scheduler"), "lr_scheduler")
    notes.set("lr_cycles", source.whole("lr_scheduler_num_cycles"), "lr_scheduler_num_cycles")


def _loop(source: Source, notes: Notes) -> None:
    steps, epochs = source.whole("max_train_steps"), source.number("max_train_epochs")
    if epochs:
        why = "turned into steps by the train node, which knows the pictures, while its steps are -1"
        notes.set("length", f"{epochs:g} epochs", "max_train_epochs", why)
    elif steps:
        notes.set("length", f"{steps} steps", "max_train_steps", "while the train node's steps are -1")
    warmup = source.number("lr_warmup_steps")
    if warmup is not None and 0 < warmup < 1:
        if steps and not epochs:
            notes.set("warmup_steps", round(warmup * steps), "lr_warmup_steps", f"{warmup:g} of all steps")
        else:
            notes.drop(f"lr_warmup_steps ({warmup:g})", "a share of steps that are not known yet: set warmup_steps")
    elif warmup is not None:
        notes.set("warmup_steps", int(warmup), "lr_warmup_steps")
    notes.set("batch_size", source.whole("train_batch_size", "batch_size"), "train_batch_size")
    accumulation = source.whole("gradient_accumulation_steps")
    notes.set("gradient_accumulation", accumulation, "gradient_accumulation_steps")
    checkpointing = source.flag("gradient_checkpointing")
    if checkpointing is not None:
        notes.set("gradient_checkpointing", "on" if checkpointing else "off", "gradient_checkpointing")
    set_precision(notes, source.text("mixed_precision"), "mixed_precision")
    notes.set("max_grad_norm", source.number("max_grad_norm"), "max_grad_norm")
    notes.set("caption_dropout", source.number("caption_dropout_rate"), "caption_dropout_rate")
    _prior(source, notes)


def _prior(source: Source, notes: Notes) -> None:
    """There the weight of regularisation pictures, and of nothing where there are none: as auto has it here."""
    weight = source.number("prior_loss_weight")
    if weight is None:
        return
    if weight == 1.0:
        notes.converted.append("prior_preservation auto (prior_loss_weight 1: with regularisation pictures only)")
    elif source.values.get("reg_data_dir") or source.values.get("is_reg"):
        notes.set("prior_preservation", weight, "prior_loss_weight")
    else:
        notes.drop(f"prior_loss_weight ({weight:g})", "it is for regularisation pictures, which are not named here")


def _noise(source: Source, notes: Notes) -> None:
    _timesteps(source, notes)
    for name, path in (("sigma_min", "min_timestep"), ("sigma_max", "max_timestep")):
        level = source.number(path)
        notes.set(name, None if level is None else min(1.0, level / 1000), path)
    loss = source.text("loss_type")
    known = {"l2": "mse", "mse": "mse", "huber": "huber", "smooth_l1": "smooth_l1", "l1": "l1"}
    if loss in known:
        notes.set("loss", known[loss], "loss_type")
    elif loss:
        notes.drop(f"loss_type ({loss})", "there is no such loss here, it stays on auto")
    gamma = source.number("min_snr_gamma")
    if gamma:
        notes.set("loss_weighting", "min_snr", "min_snr_gamma")
        notes.set("min_snr_gamma", gamma, "min_snr_gamma")
    if source.flag("debiased_estimation_loss"):
        notes.set("loss_weighting", "debiased", "debiased_estimation_loss")
    notes.set("noise_offset", source.number("noise_offset"), "noise_offset")
    discount = source.number("multires_noise_discount")
    if source.whole("multires_noise_iterations"):
        notes.set("multires_noise", 0.3 if discount is None else discount, "multires_noise_discount")
    for path in ("guidance_scale", "model_prediction_type", "v_parameterization", "zero_terminal_snr", "v2"):
        if source.take(path) not in (None, False):
            notes.drop(path, "read off the model")


def _timesteps(source: Source, notes: Notes) -> None:
    sampling, scheme = source.text("timestep_sampling"), source.text("weighting_scheme")
    shift = source.number("discrete_flow_shift")
    why = ""
    if shift is not None and not sampling:
        sampling, why = "sigma", "kohya's own value, as none is given"
    if scheme in ("sigma_sqrt", "cosmap"):
        notes.set("loss_weighting", scheme, "weighting_scheme")
    elif scheme == "mode":
        notes.drop("weighting_scheme (mode)", "there is no such sampling here, it stays on auto")
    if sampling in _SAMPLINGS:
        notes.set("timestep_sampling", _SAMPLINGS[sampling], "timestep_sampling")
    elif scheme == "logit_normal":
        notes.set("timestep_sampling", "logit_normal", "weighting_scheme")
    elif sampling == "sigma":
        notes.set("timestep_sampling", "shift", "timestep_sampling", why)
    elif sampling:
        notes.drop(f"timestep_sampling ({sampling})", "there is no such sampling here, it stays on auto")
    if shift is None and sampling in ("shift", "sigma"):
        notes.drop("discrete_flow_shift (not set)", "3 in sd-scripts, 1 in musubi-tuner; here it stays on auto")
    elif shift is not None and sampling in ("shift", "sigma"):
        notes.set("timestep_shift", shift, "discrete_flow_shift")
    elif shift is not None:
        notes.drop(f"discrete_flow_shift ({shift:g})", f"timestep_sampling {sampling} does not use it")
    scale = source.number("sigmoid_scale")
    if scale not in (None, 1.0):
        notes.drop(f"sigmoid_scale ({scale:g})", "always 1 here")


def _elsewhere(source: Source, notes: Notes) -> None:
    for key, where in (
        ("output_name", "Train LoRA: name {}"),
        ("seed", "Train LoRA: seed {}"),
        ("save_every_n_steps", "Train LoRA: save_every {}"),
        ("save_every_n_epochs", "Train LoRA: save_every, the steps of {} epochs"),
        ("network_weights", "Train LoRA: start_lora {}"),
        ("train_data_dir", "Load Dataset: folder {}"),
        ("image_dir", "Load Dataset: folder {}"),
        ("image_directory", "Load Dataset: folder {}"),
        ("reg_data_dir", "Load Dataset: folder {}, role regularisation"),
        ("num_repeats", "Load Dataset: repeats {}"),
        ("masked_loss", "Load Dataset: mask_source"),
        ("alpha_mask", "Load Dataset: mask_source alpha"),
        ("bucket_reso_steps", "Encode Dataset: bucket_step {}"),
        ("flip_aug", "Encode Dataset: flip"),
        ("shuffle_caption", "Encode Dataset: shuffle_tags"),
        ("keep_tokens", "Encode Dataset: keep_tokens {}"),
        ("clip_skip", "CLIP Set Last Layer before Encode Dataset: -{}"),
    ):
        notes.move(source, key, where)
    set_file_type(notes, source, "save_precision")
    _resolution(source, notes)
    for key in _NO_TRAINING.split():
        source.take(key)


def _resolution(source: Source, notes: Notes) -> None:
    """Width and height there, the side of a square of as many pixels here."""
    value = source.take("resolution")
    sides = value if isinstance(value, list) else str(value or "").split(",")
    numbers = [_number(str(side)) or 0.0 for side in sides]
    if len(numbers) in (1, 2) and all(numbers):
        side = round((numbers[0] * numbers[-1]) ** 0.5)
        notes.put("Encode Dataset", "resolution", str(side), "resolution")
    elif value:
        notes.drop("resolution", "it is neither a number nor width and height")
