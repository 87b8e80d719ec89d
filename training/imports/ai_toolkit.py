"""ai-toolkit's configs (`config/examples/*.yaml`; names and defaults from its `toolkit/config_modules.py`)."""

from __future__ import annotations

from collections.abc import Mapping
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

_UNETS = ("sd1", "sd15", "sd2", "sd21", "sdxl", "ssd", "vega")
_OTHER_FLAGS = ("is_flux", "is_v3", "is_pixart", "is_pixart_sigma", "is_auraflow", "is_lumina2")
_TIMESTEPS = {
    "sigmoid": ("sigmoid", ""),
    "linear": ("uniform", ""),
    "weighted": ("uniform", "without its table of loss weights, which was measured on one model"),
    "shift": ("shift", "with the family's shift; there it goes by the size for some models"),
    "flux_shift": ("resolution_shift", "the nearest: it draws from the middle what is drawn evenly there"),
    "lumina2_shift": ("shift", "with the family's shift"),
}

_NO_TRAINING = ("type", "training_folder", "sqlite_db_path", "device", "performance_log_every", "logging", "sample")
_ITS_OWN = ("disable_sampling", "skip_first_sample", "train_unet", "linear_timesteps")


def is_one(data: Mapping[str, Any]) -> bool:
    return _process(data) is not None


def _process(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    config = data.get("config")
    found = config.get("process") if isinstance(config, Mapping) else None
    first = found[0] if isinstance(found, list) and found else None
    return first if isinstance(first, Mapping) and ("network" in first or "train" in first) else None


def convert(data: Mapping[str, Any]) -> Imported:
    process = _process(data)
    assert process is not None, "is_one was asked"
    source, notes = Source(process), Notes()
    _network(source, notes)
    _training(source, notes)
    _noise(source, notes)
    _elsewhere(source, notes, data["config"])
    source.ignore(
        "type", "training_folder", "device", "performance_log_every", "logging", "sample", "meta", "sqlite_db_path"
    )
    notes.model = source.text("model.name_or_path")
    source.ignore("model")
    notes.elsewhere.append("the model: wire it into the train node (model)")
    notes.prompts = _prompts(process.get("sample"))
    return notes.done("ai-toolkit", source)


def _prompts(sample: Any) -> tuple[str, ...]:
    """Plain texts, or tables with a prompt in each."""
    found = sample if isinstance(sample, Mapping) else {}
    items = found.get("prompts") or found.get("samples") or []
    texts = (item.get("prompt") if isinstance(item, Mapping) else item for item in items if item)
    return tuple(str(text)[:2000] for text in texts if text)[:64]


def _is_unet(source: Source) -> bool:
    """Whether the config's model is one that ai-toolkit trains with kohya's alpha."""
    arch = source.text("model.arch").split(":")[0]
    return arch in _UNETS if arch else not any(source.take(f"model.{flag}") for flag in _OTHER_FLAGS)


def _network(source: Source, notes: Notes) -> None:
    kind = source.text("network.type").lower() or "lora"
    if kind in ("lora", "locon", "lokr", "dora"):
        notes.set("algorithm", {"locon": "lora"}.get(kind, kind), "network.type")
    else:
        notes.drop(f"network.type ({kind})", "there is no such algorithm here, it stays on auto")
    rank = source.whole("network.rank", "network.linear")
    alpha = source.number("network.linear_alpha", "network.alpha")
    unet = _is_unet(source)
    notes.set("rank", rank, "network.linear")
    if rank is not None and not unet:
        notes.set("alpha", float(rank), "network.linear_alpha", "scale 1, as ai-toolkit trains this model")
    elif rank is not None:
        notes.set("alpha", 1.0 if alpha is None else alpha, "network.linear_alpha", "1 when missing" * (alpha is None))
    conv, conv_alpha = source.whole("network.conv"), source.number("network.conv_alpha")
    if unet:
        set_convolutions(notes, conv, float(conv) if conv and conv_alpha is None else conv_alpha, "network.conv")
    elif conv:
        notes.drop("network.conv", "this model has no convolutions to train")
    notes.set("dropout", source.number("network.dropout"), "network.dropout")
    for key in ("only_if_contains", "ignore_if_contains"):
        if source.take(f"network.network_kwargs.{key}"):
            notes.drop(f"network.network_kwargs.{key}", "layers have other names here: see include and exclude")


def _training(source: Source, notes: Notes) -> None:
    notes.set("learning_rate", source.number("train.unet_lr", "train.lr"), "train.lr")
    if source.flag("train.train_text_encoder"):
        notes.set("text_encoder", "on", "train.train_text_encoder", "wire clip into the train node")
        rate = source.number("train.text_encoder_lr", "train.lr")
        notes.set("text_encoder_learning_rate", rate, "train.text_encoder_lr")
    source.take("train.text_encoder_lr")
    set_optimizer(notes, source.text("train.optimizer"), "train.optimizer")
    parameters = [path for path in source.values if path.startswith("train.optimizer_params.")]
    pairs = [(path.rpartition(".")[2], _argument(source.take(path))) for path in parameters]
    set_arguments(notes, pairs, "train.optimizer_params")
    set_scheduler(notes, source.text("train.lr_scheduler"), "train.lr_scheduler")
    warmup = source.whole("train.lr_scheduler_params.warmup_steps", "train.lr_scheduler_params.num_warmup_steps")
    notes.set("warmup_steps", warmup, "train.lr_scheduler_params")
    notes.set("lr_cycles", source.whole("train.lr_scheduler_params.num_cycles"), "train.lr_scheduler_params")
    notes.set("batch_size", source.whole("train.batch_size"), "train.batch_size")
    accumulation = source.whole("train.gradient_accumulation_steps", "train.gradient_accumulation")
    notes.set("gradient_accumulation", accumulation, "train.gradient_accumulation_steps")
    checkpointing = source.flag("train.gradient_checkpointing")
    if checkpointing is not None:
        notes.set("gradient_checkpointing", "on" if checkpointing else "off", "train.gradient_checkpointing")
    set_precision(notes, source.text("train.dtype"), "train.dtype")
    notes.set("max_grad_norm", source.number("train.max_grad_norm"), "train.max_grad_norm")
    decay = source.number("train.ema_config.ema_decay")
    if source.flag("train.ema_config.use_ema"):
        notes.set("ema_decay", 0.999 if decay is None else decay, "train.ema_config")
    steps = source.whole("train.steps")
    if steps:
        notes.set("length", f"{steps} steps", "train.steps", "while the train node's steps are -1")


def _argument(value: Any) -> str:
    return f"({', '.join(map(str, value))})" if isinstance(value, list) else str(value)


def _noise(source: Source, notes: Notes) -> None:
    kind = source.text("train.timestep_type")
    bias = source.text("train.content_or_style")
    if bias in ("content", "style"):
        sampling = "high_noise" if bias == "content" else "low_noise"
        notes.set("timestep_sampling", sampling, "train.content_or_style", "in place of timestep_type" * bool(kind))
    elif kind in _TIMESTEPS:
        notes.set("timestep_sampling", _TIMESTEPS[kind][0], "train.timestep_type", _TIMESTEPS[kind][1])
    elif kind:
        notes.drop(f"train.timestep_type ({kind})", "there is no such sampling here, it stays on auto")
    # Denoising steps count from pure noise.
    for name, path in (("sigma_max", "train.min_denoising_steps"), ("sigma_min", "train.max_denoising_steps")):
        steps = source.number(path)
        notes.set(name, None if steps is None else 1 - steps / 1000, path)
    loss = source.text("train.loss_type")
    if loss in ("mse", "mae"):
        notes.set("loss", {"mae": "l1"}.get(loss, loss), "train.loss_type")
    elif loss:
        notes.drop(f"train.loss_type ({loss})", "there is no such loss here, it stays on auto")
    gamma = source.number("train.min_snr_gamma")
    if gamma:
        notes.set("loss_weighting", "min_snr", "train.min_snr_gamma")
        notes.set("min_snr_gamma", gamma, "train.min_snr_gamma")
    notes.set("noise_offset", source.number("train.noise_offset"), "train.noise_offset")
    if source.flag("train.diff_output_preservation"):
        weight = source.number("train.diff_output_preservation_multiplier")
        why = "set the class word at the dataset"
        notes.set("prior_preservation", 1.0 if weight is None else weight, "train.diff_output_preservation", why)
    notes.move(source, "train.diff_output_preservation_class", "Load Dataset: class_word {}")
    if source.take("train.noise_scheduler"):
        notes.drop("train.noise_scheduler", "read off the model")
    for key in _ITS_OWN:
        source.take(f"train.{key}")


def _elsewhere(source: Source, notes: Notes, config: Mapping[str, Any]) -> None:
    if isinstance(config.get("name"), str):
        notes.put("Train LoRA", "name", config["name"][:60], "name")
    notes.move(source, "trigger_word", "Load Dataset: trigger {}")
    notes.move(source, "save.save_every", "Train LoRA: save_every {}")
    notes.move(source, "save.max_step_saves_to_keep", "Train LoRA: keep_last {}")
    set_file_type(notes, source, "save.dtype")
    number = 0
    while source.has(f"datasets.{number}"):
        _dataset(source, notes, f"datasets.{number}", number == 0)
        number += 1


def _dataset(source: Source, notes: Notes, at: str, first: bool) -> None:
    dropout = source.number(f"{at}.caption_dropout_rate")
    if first:
        notes.set("caption_dropout", dropout, f"{at}.caption_dropout_rate")
    elif dropout != notes.training.get("caption_dropout"):
        shown = "none" if dropout is None else f"{dropout:g}"
        notes.drop(f"{at}.caption_dropout_rate ({shown})", "one for all datasets here, that of the first")
    for key, where in (
        ("folder_path", "Load Dataset: folder {}"),
        ("default_caption", "Load Dataset: default_caption {}"),
        ("num_repeats", "Load Dataset: repeats {}"),
        ("is_reg", "Load Dataset: role regularisation"),
        ("mask_path", "Load Dataset: mask_folder {}"),
        ("alpha_mask", "Load Dataset: mask_source alpha"),
        ("resolution", "Encode Dataset: resolution {}"),
        ("flip_x", "Encode Dataset: flip"),
        ("shuffle_tokens", "Encode Dataset: shuffle_tags"),
    ):
        notes.move(source, f"{at}.{key}", where)
    for key in ("caption_ext", "cache_latents", "cache_latents_to_disk", "bucket_tolerance", "buckets"):
        source.take(f"{at}.{key}")
