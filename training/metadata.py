"""What a LoRA file says about itself: kohya's `ss_*` keys, ModelSpec 1.0.1, our configuration, and the graph.

Values are strings, as safetensors wants them. No dates: the same run gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .writing import packed

GRAPH = ("workflow", "prompt")
"""What the host's front end reads when a file is dropped on it."""
PERSONAL = (*GRAPH, "modelspec.thumbnail", "ssmd_cover_images")
"""Says how the file came about, not what it is: two files that differ in these alone hold the same LoRA."""

_IMPLEMENTATION = "https://github.com/danlu-team/danlu"

# ModelSpec's architecture and sd-scripts' name of the base, where those have one; else the family's own name.
_ARCHITECTURES = {
    "sd15": ("stable-diffusion-v1", "sd_v1"),
    "sd2": ("stable-diffusion-v2-512", "sd_v2"),
    "sdxl": ("stable-diffusion-xl-v1-base", "sdxl_base_v1-0"),
    "sd3": ("stable-diffusion-3", "sd3"),
    "flux2": ("flux-2-dev", "flux2"),
    "flux": ("flux-1-dev", "flux1"),
    "kontext": ("flux-1-dev", "flux1"),
    "lumina": ("lumina-2", "lumina2"),
    "wan": ("wan2.1", "wan2.1"),
    "klein": ("flux-2-klein", "flux2_klein"),
    "zimage": ("Z-Image", "zimage"),
    "hunyuan_video": ("hunyuan-video", "hunyuan_video"),
    "qwen_image_edit": ("Qwen-Image-Edit", "qwen_image_edit"),
    "qwen": ("Qwen-Image", "qwen_image"),
}
_LYCORIS = {"loha": "loha", "lokr": "lokr", "oft": "diag-oft", "dora": "locon"}


def architecture(family: str, prediction: str) -> tuple[str, str]:
    """(ModelSpec's, sd-scripts') name of a family's base model; the longest name that the family starts with."""
    match = max((name for name in _ARCHITECTURES if family.startswith(name)), key=len, default="")
    own = "" if family == "generic" else family
    spec, base = _ARCHITECTURES.get(match, (own, own))
    return ("stable-diffusion-v2-768-v", "sd_v2_v") if (match, prediction) == ("sd2", "v") else (spec, base)


def metadata(name: str, facts: Mapping[str, str]) -> dict[str, str]:
    """All keys of a file called `name`, from its checkpoint's facts (`training.facts`)."""
    family, prediction = facts.get("family", ""), facts.get("prediction", "")
    spec, _ = architecture(family, prediction)
    known = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.title": name,
        "modelspec.architecture": f"{spec}/lora" if spec else None,
        "modelspec.implementation": _IMPLEMENTATION,
        "modelspec.prediction_type": {"eps": "epsilon", "v": "v"}.get(prediction),
        "modelspec.trigger_phrase": facts.get("trigger"),
        "modelspec.usage_hint": f"Write {facts['trigger']} in the prompt." if facts.get("trigger") else None,
        "modelspec.resolution": facts.get("resolution", "").split(",")[-1],
        "modelspec.tags": ", ".join(_common_tags(facts)),
        "ss_output_name": name,
        **_kohya(facts),
        "danlu.config": facts.get("config"),
        "danlu.dora": _dora_note(facts),
        "danlu.started_from": facts.get("start"),
    }
    return {key: value for key, value in known.items() if value}


def _dora_note(facts: Mapping[str, str]) -> str | None:
    """Readers of DoRA differ in what they divide by."""
    if "config" not in facts or json.loads(facts["config"])["lora"]["algorithm"] != "dora":
        return None
    return "dora_scale is for ComfyUI, which divides by |W|; readers that divide by |W + dW| show another effect"


def _kohya(facts: Mapping[str, str]) -> dict[str, str | None]:
    """sd-scripts' keys (`train_network.py`), as far as they mean something here."""
    if "config" not in facts:
        return {}
    config = json.loads(facts["config"])
    training: dict[str, Any] = config["training"]
    weighting = training["loss_weighting"]
    values = {
        "base_model_version": architecture(facts["family"], facts["prediction"])[1],
        "v2": facts["family"].startswith("sd2"),
        **_network(config["lora"], facts["family"]),
        "learning_rate": training["learning_rate"],
        "unet_lr": training["learning_rate"],
        "text_encoder_lr": training["text_encoder_learning_rate"] if config["lora"]["text_encoder"] == "on" else None,
        "optimizer": " ".join(filter(None, (training["optimizer"], training["optimizer_args"]))),
        "lr_scheduler": training["lr_scheduler"],
        "lr_warmup_steps": training["warmup_steps"],
        "max_train_steps": training["schedule_steps"],
        "steps": facts["step"],
        "epoch": facts["epoch"],
        "seed": facts["seed"],
        "batch_size_per_device": training["batch_size"],
        "total_batch_size": training["batch_size"] * training["gradient_accumulation"],
        "gradient_accumulation_steps": training["gradient_accumulation"],
        "gradient_checkpointing": training["gradient_checkpointing"] == "on",
        "max_grad_norm": training["max_grad_norm"],
        "mixed_precision": training["precision"],
        "min_snr_gamma": training["min_snr_gamma"] if weighting == "min_snr" else None,
        "debiased_estimation": weighting == "debiased",
        "loss_type": training["loss"],
        "noise_offset": training["noise_offset"],
        "multires_noise_discount": training["multires_noise"] or None,
        "caption_dropout_rate": training["caption_dropout"],
        "prior_loss_weight": training["prior_preservation"],
        "num_train_images": facts["images"],
        "num_reg_images": facts["regularisation_images"],
        "resolution": facts["resolution"],
        "bucket_info": facts["buckets"],
        "tag_frequency": facts["tags"],
    }
    return {f"ss_{key}": str(value) for key, value in values.items() if value not in (None, "")}


def _network(lora: Mapping[str, Any], family: str) -> dict[str, Any]:
    """Which of kohya's modules would have made such a network; LyCORIS' for what its own do not know."""
    algorithm = lora["algorithm"]
    arguments: dict[str, Any] = {}
    if algorithm in _LYCORIS:
        arguments["algo"] = _LYCORIS[algorithm]
    if algorithm == "dora":
        arguments["dora_wd"] = True
    if lora["targets"] == "all-linear+conv":
        arguments |= {"conv_dim": lora["rank"], "conv_alpha": lora["alpha"]}
    own = "networks.lora_flux" if architecture(family, "")[1] == "flux1" else "networks.lora"
    return {
        "network_module": "lycoris.kohya" if algorithm in _LYCORIS else own,
        "network_dim": lora["rank"],
        "network_alpha": lora["alpha"],
        "network_dropout": lora["dropout"] or None,
        "network_args": json.dumps(arguments, sort_keys=True) if arguments else None,
    }


def _common_tags(facts: Mapping[str, str], count: int = 10) -> list[str]:
    """The most frequent short tags but the trigger."""
    folders: dict[str, dict[str, int]] = json.loads(facts.get("tags", "{}"))
    tags = [tag for tags in folders.values() for tag in tags if len(tag) <= 40 and tag != facts.get("trigger")]
    return tags[:count]


def hashes(header: Mapping[str, Any], data: bytes, facts: Mapping[str, str]) -> dict[str, str]:
    """Of the tensors' bytes: ModelSpec's, and the two by which kohya's tools and their readers know a LoRA."""
    digest = hashlib.sha256(data).hexdigest()
    as_kohya = packed(header, {key: value for key, value in facts.items() if key.startswith("ss_")}, data)
    return {
        "modelspec.hash_sha256": f"0x{digest}",
        "sshs_model_hash": digest,
        "sshs_legacy_hash": hashlib.sha256(as_kohya[0x100000:0x110000]).hexdigest()[:8],
    }
