"""LoRA files: names that other programs read, metadata, and where they may be written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import DanluError
from .store import safetensors_bytes, write_atomically

FORMATS = ("auto", "kohya", "comfy")
DTYPES = {"auto": torch.float16, "fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
_ARCHITECTURES = {"sd15": "stable-diffusion-v1/lora", "flux": "flux-1-dev/lora"}
_BASE_VERSIONS = {"sd15": "sd_v1", "flux": "flux1"}


def checked_name(name: str, what: str) -> str:
    """A file name and nothing more; raises DanluError, naming the input, for paths and unusable characters."""
    clean = name.strip()
    if not clean or clean.strip(".") == "" or _FORBIDDEN.search(clean) or clean.endswith("."):
        raise DanluError(
            f"{what} is {name!r}: it must be a plain name, without slashes, '..' or any of <>:\"|?*. "
            "Use subfolder for a folder below models/loras."
        )
    return clean


def target_folder(root: Path, subfolder: str) -> Path:
    """`root/subfolder`; raises DanluError when that lies outside of `root`, links followed."""
    parts = [checked_name(part, "subfolder") for part in re.split(r"[/\\]", subfolder.strip()) if part]
    folder = root.joinpath(*parts)
    if not folder.resolve().is_relative_to(root.resolve()):
        raise DanluError(f"subfolder {subfolder!r} leads outside of {root}; name a folder below it.")
    return folder


def renamed(lora: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """`lora` with the stem of each key replaced by `names` (stem -> stem of the format)."""
    return {_rename(key, names): tensor for key, tensor in lora.items()}


def _rename(key: str, names: Mapping[str, str]) -> str:
    stem, suffix = split_key(key)
    return f"{names.get(stem, stem)}.{suffix}"


def split_key(key: str) -> tuple[str, str]:
    """"diffusion_model.x.lora_up.weight" -> ("diffusion_model.x", "lora_up.weight")."""
    for suffix in ("lora_up.weight", "lora_down.weight", "alpha"):
        if key.endswith(f".{suffix}"):
            return key[: -len(suffix) - 1], suffix
    stem, _, last = key.rpartition(".")
    return stem, last


def as_dtype(lora: Mapping[str, Tensor], dtype: str) -> dict[str, Tensor]:
    """Matrices in the file's dtype; alphas stay float32."""
    to = DTYPES[dtype]
    return {key: t.to(to).contiguous() if t.ndim > 1 else t.float() for key, t in lora.items()}


def metadata(name: str, facts: Mapping[str, str]) -> dict[str, str]:
    """kohya's `ss_*` and ModelSpec 1.0.1 keys, from a checkpoint's facts.

    No dates: the same run gives the same bytes.
    """
    family = facts.get("family", "")
    known = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.title": name,
        "modelspec.architecture": _ARCHITECTURES.get(family),
        "modelspec.implementation": "https://github.com/danlu-team/danlu",
        "modelspec.prediction_type": {"eps": "epsilon", "v": "v"}.get(facts.get("prediction", "")),
        "modelspec.trigger_phrase": facts.get("trigger"),
        "modelspec.resolution": facts.get("resolution", "").split(",")[-1],
        "ss_output_name": name,
        "ss_base_model_version": _BASE_VERSIONS.get(family),
        "ss_network_module": "networks.lora",
        "ss_network_dim": facts.get("rank"),
        "ss_network_alpha": facts.get("alpha"),
        "ss_learning_rate": facts.get("learning_rate"),
        "ss_optimizer": facts.get("optimizer"),
        "ss_lr_scheduler": facts.get("lr_scheduler"),
        "ss_batch_size_per_device": facts.get("batch_size"),
        "ss_steps": facts.get("step"),
        "ss_seed": facts.get("seed"),
        "ss_num_train_images": facts.get("images"),
        "ss_resolution": facts.get("resolution"),
    }
    return {key: value for key, value in known.items() if value}


def write_lora(folder: Path, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> Path:
    """`folder/name.safetensors`. A file of that name with other content is kept: the new one gets a number."""
    content = safetensors_bytes(tensors, facts)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 10_000):
        path = folder / (f"{name}.safetensors" if number == 1 else f"{name}-{number}.safetensors")
        if not path.exists():
            write_atomically(path, content)
            return path
        if _same(path, content):
            return path
    raise DanluError(f"{folder} holds thousands of files named {name}; choose another name.")


def _same(path: Path, content: bytes) -> bool:
    if path.stat().st_size != len(content):
        return False
    return hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()
