"""Start values for each model family.

None of them has been verified by us on the real weights; every row names where it comes from. `resolve` fills
what the user left on auto and says which values it chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from .config import OWN_RATE, LoRAConfig, TrainingConfig, as_dict, filled, is_auto
from .presets import Setting, preset_settings


@dataclass(frozen=True)
class Family:
    """One row: what differs from the defaults of all families."""

    label: str
    values: Mapping[str, Any]
    source: str
    resolutions: tuple[int, ...] = ()
    """What its datasets are best encoded at; empty: what the model was made for."""
    frames: int = 1
    """Length of clips, for models of video."""


_ALL: Mapping[str, Any] = MappingProxyType(
    {
        "algorithm": "lora",
        "targets": "attention+mlp",
        "dropout": 0.0,
        "text_encoder": "off",
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "lr_scheduler": "constant",
        "batch_size": 1,
        "gradient_accumulation": 1,
        "precision": "auto",
        # The safe default of correctness; memory rules belong to presets and the planner.
        "gradient_checkpointing": "auto",  # what is there at the time decides: `training.settle`
        "sigma_min": 0.0,
        "sigma_max": 1.0,
        "loss": "mse",
        "loss_weighting": "none",
        "min_snr_gamma": 5.0,
        "noise_offset": 0.0,
        "multires_noise": 0.0,
        "unmasked_weight": 0.0,
        "max_grad_norm": 1.0,
        "ema_decay": 0.0,
        "caption_dropout": 0.05,
        "lora_plus_ratio": 1.0,
        "lr_cycles": 3,
        "validation": "on",
        "early_stop": 0,
    }
)

_AI_TOOLKIT = "ai-toolkit UI defaults (jobConfig.ts)"
_MUSUBI = "musubi-tuner docs"
_WAN: Mapping[str, Any] = MappingProxyType(
    {"learning_rate": 2e-4, "rank": 32, "timestep_sampling": "logit_normal", "timestep_shift": 3.0}
)
_UNET: Mapping[str, Any] = MappingProxyType({"learning_rate": 1e-4, "rank": 32, "timestep_sampling": "uniform"})
_FLUX2: Mapping[str, Any] = MappingProxyType(
    {"learning_rate": 5e-5, "rank": 16, "timestep_sampling": "resolution_shift"}
)
_QWEN: Mapping[str, Any] = MappingProxyType(
    {"learning_rate": 5e-5, "rank": 16, "timestep_sampling": "logit_normal", "timestep_shift": 2.2}
)
_SIGMOID_16: Mapping[str, Any] = MappingProxyType({"learning_rate": 1e-4, "rank": 16, "timestep_sampling": "sigmoid"})

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "sd15": Family("SD 1.5", _UNET, f"{_AI_TOOLKIT}; sd-scripts docs/train_network (lr 1e-4, rank 32)", (512,)),
        "sd21": Family("SD 2.1", _UNET, "as SD 1.5; trained at its own 768", (768,)),
        "sdxl": Family(
            "SDXL",
            {**_UNET, "loss_weighting": "min_snr", "min_snr_gamma": 5.0},
            f"{_AI_TOOLKIT}; sd-scripts docs/sdxl_train_network (rank 32, text encoder off); min-SNR arXiv:2303.09556",
            (1024,),
        ),
        "sdxl_v": Family("SDXL v-prediction", _UNET, "as SDXL; min-SNR is off where the model predicts v", (1024,)),
        "sd3": Family(
            "SD 3.5",
            {"learning_rate": 1e-4, "rank": 16, "timestep_sampling": "logit_normal"},
            "SD3 paper arXiv:2403.03206 (logit-normal); ai-toolkit UI defaults for rate and rank",
            (512, 768, 1024),
        ),
        "flux": Family("Flux.1", _SIGMOID_16, "ai-toolkit config/examples/train_lora_flux_24gb.yaml", (512, 768, 1024)),
        "kontext": Family(
            "Flux.1 Kontext",
            {"learning_rate": 1e-4, "rank": 32, "timestep_sampling": "sigmoid"},
            f"ai-toolkit config/examples/train_lora_flux_kontext_24gb.yaml; {_MUSUBI}/flux_kontext (rank 32)",
            (512, 768),
        ),
        "flux2": Family("Flux.2", _FLUX2, "OneTrainer training_presets (dynamic shift)", (512, 768)),
        "klein": Family("Flux.2 Klein", _FLUX2, "OneTrainer training_presets (dynamic shift)", (512, 768)),
        "chroma": Family("Chroma", _SIGMOID_16, "as Flux.1, whose layers it has", (512, 768, 1024)),
        "zimage": Family(
            "Z-Image",
            {"learning_rate": 1e-4, "rank": 32, "timestep_sampling": "logit_normal", "timestep_shift": 2.0},
            f"{_MUSUBI}/zimage (shift 2.0, rank 32)",
            (768, 1024),
        ),
        "lumina2": Family(
            "Lumina 2",
            {"learning_rate": 1e-4, "rank": 16, "timestep_sampling": "logit_normal", "timestep_shift": 6.0},
            "sd-scripts docs/lumina_train_network (shift 6.0)",
            (1024,),
        ),
        "qwen_image": Family("Qwen-Image", _QWEN, f"{_MUSUBI}/qwen_image (5e-5, rank 16, shift 2.2)", (512, 768, 1024)),
        "qwen_image_edit": Family(
            "Qwen-Image-Edit", _QWEN, f"{_MUSUBI}/qwen_image (5e-5, rank 16, shift 2.2)", (512, 768)
        ),
        "krea2": Family(
            "Krea 2",
            {"learning_rate": 1e-4, "rank": 32, "timestep_sampling": "logit_normal"},
            f"{_MUSUBI}; logit-normal timesteps",
            (512, 768, 1024),
        ),
        "hidream": Family("HiDream I1", _SIGMOID_16, f"{_AI_TOOLKIT}; sigmoid as for Flux.1", (512, 768, 1024)),
        "wan21": Family("Wan 2.1", _WAN, f"{_MUSUBI}/wan (2e-4, rank 32, shift 3.0)", (480,), 41),
        "wan21_i2v": Family("Wan 2.1 image to video", _WAN, f"{_MUSUBI}/wan (2e-4, rank 32, shift 3.0)", (480,), 41),
        "wan22": Family("Wan 2.2", _WAN, f"{_MUSUBI}/wan (shift 3.0 within each expert's range)", (480,), 41),
        "wan22_i2v": Family(
            "Wan 2.2 image to video", _WAN, f"{_MUSUBI}/wan (shift 3.0 within each expert's range)", (480,), 41
        ),
        "wan22_5b": Family("Wan 2.2 5B", _WAN, f"as Wan 2.1; {_MUSUBI}/wan", (480,), 41),
        "hunyuan_video": Family(
            "HunyuanVideo",
            {"learning_rate": 2e-4, "rank": 32, "timestep_sampling": "logit_normal", "timestep_shift": 7.0},
            f"{_MUSUBI}/hunyuan_video (2e-4, rank 32, shift 7.0)",
            (480,),
            25,
        ),
        "hunyuan_video15": Family(
            "HunyuanVideo 1.5",
            {"learning_rate": 1e-4, "rank": 32, "timestep_sampling": "sigmoid"},
            "as HunyuanVideo, at the rate of later models",
            (480,),
            25,
        ),
        "hunyuan_image": Family(
            "HunyuanImage 2.1",
            {"learning_rate": 1e-4, "rank": 32, "timestep_sampling": "logit_normal", "timestep_shift": 5.0},
            "sd-scripts docs/hunyuan_image_train_network (shift 5.0)",
            (1024,),
        ),
        "ltxv": Family(
            "LTX-Video",
            {"learning_rate": 1e-4, "rank": 32, "timestep_sampling": "sigmoid"},
            "generic values of flow models",
            (512,),
            25,
        ),
        "generic": Family(
            "generic",
            {"learning_rate": 1e-4, "rank": 16, "timestep_sampling": "auto"},
            _AI_TOOLKIT,
        ),
    }
)


@dataclass(frozen=True)
class Resolved:
    """Configs with only what the device decides left on auto (precision, gradient_checkpointing), and lines that say
    what was chosen for the user, and from where."""

    lora: LoRAConfig
    training: TrainingConfig
    choices: tuple[str, ...]


def resolve(
    family: str,
    flow: bool,
    lora: LoRAConfig,
    training: TrainingConfig,
    steps: int,
    regularised: bool = False,
    shift: float = 1.0,
) -> Resolved:
    """Fills every auto.

    `flow`: the model predicts a flow velocity; `steps`: of the whole run; `regularised`: there are pictures for prior
    preservation; `shift`: of the model's own schedule, where its family has none for training.
    """
    row = FAMILIES.get(family, FAMILIES["generic"])
    values = {**_ALL, "timestep_shift": shift, **row.values}
    preset = {**_preset_of(lora, family, values), **_preset_of(training, family, values)}
    values |= {name: setting.value for name, setting in preset.items()}
    if values["timestep_sampling"] == "auto":
        values["timestep_sampling"] = "sigmoid" if flow else "uniform"
    horizon = steps if is_auto(training.schedule_steps) else training.schedule_steps
    values["schedule_steps"] = horizon
    values["prior_preservation"] = float(regularised)
    optimizer = values["optimizer"] if is_auto(training.optimizer) else training.optimizer
    own = _of_optimizer(optimizer)
    values |= own
    rate = values["learning_rate"] if is_auto(training.learning_rate) else training.learning_rate
    values["text_encoder_learning_rate"] = rate if own else rate / 2
    values["warmup_steps"] = horizon // 50
    values["alpha"] = float(values["rank"] if is_auto(lora.rank) else lora.rank)
    chosen = {
        name: values[name]
        for config in (lora, training)
        for name, value in as_dict(config).items()
        if is_auto(value) and (name != "gradient_checkpointing" or not is_auto(values[name]))
    }
    by_preset = {name: setting for name, setting in preset.items() if name in chosen}
    by_optimizer = {name: value for name, value in chosen.items() if name in own and name not in by_preset}
    told = {**by_preset, **by_optimizer}
    lines = _explained(row, {name: value for name, value in chosen.items() if name not in told})
    if by_optimizer:
        found = ", ".join(f"{name} {_shown(value)}" for name, value in by_optimizer.items())
        lines = (f"auto for {optimizer}, which finds its own: {found}", *lines)
    if by_preset:
        title = f"preset {lora.preset or training.preset}"
        lines = (f"{title}: " + "; ".join(f"{n} {_shown(s.value)} ({s.reason})" for n, s in by_preset.items()), *lines)
    # What a preset was called, and how the number of steps came about, decide nothing any more.
    settled = replace(filled(training, values), preset="", length="")
    return Resolved(replace(filled(lora, values), preset=""), settled, lines)


def _of_optimizer(optimizer: str) -> dict[str, Any]:
    return {"learning_rate": OWN_RATE[optimizer]} if optimizer in OWN_RATE else {}


def _preset_of(config: LoRAConfig | TrainingConfig, family: str, row: Mapping[str, Any]) -> dict[str, Setting]:
    """What the config's preset says of the config's own fields."""
    settings = preset_settings(config.preset, family, row)
    return {name: setting for name, setting in settings.items() if name in as_dict(config)}


def _explained(row: Family, chosen: Mapping[str, Any]) -> tuple[str, ...]:
    of_family = {name: value for name, value in chosen.items() if name in row.values}
    of_all = {name: value for name, value in chosen.items() if name not in row.values}
    groups = ((f"auto for {row.label} ({row.source})", of_family), ("auto for every model", of_all))
    return tuple(
        f"{title}: " + ", ".join(f"{name} {_shown(value)}" for name, value in group.items())
        for title, group in groups
        if group
    )


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
