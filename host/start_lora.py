"""LoRA files to go on from: read as the host's own loader reads them, whatever tool wrote them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import comfy.lora
import comfy.lora_convert
import folder_paths
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..errors import DanluError
from ..training.adapters import StartLora
from ..training.formats import stems_of
from .start_layers import Piece, can_go_on, start_layer

NONE = "none"
_TEXT = ("lora_te", "lora_prior_te", "text_encoder", "te1", "te2")
_LARGEST = 16 * 2**30
"""Bytes of a file; the largest LoRAs are a few GB."""
_OTHER_FAMILY = "Choose a LoRA that was trained on this family of models."


def lora_names() -> list[str]:
    """Files of models/loras that can be gone on from: no pickles."""
    return [name for name in folder_paths.get_filename_list("loras") if name.endswith(".safetensors")]


def lora_path(name: str) -> Path:
    """The file that the host's loaders list as `name`; raises DanluError for anything else."""
    if name not in lora_names():
        raise DanluError(f"start_lora: there is no file {name!r} in models/loras. Choose one of the list.")
    return Path(folder_paths.get_full_path_or_raise("loras", name))


def read_start_lora(name: str, model: Any, text_model: nn.Module | None = None) -> StartLora:
    """The LoRA `name` of models/loras for `model` (a `comfy.model_base.BaseModel`); layers by their path in it.

    `text_model`: a CLIP's `cond_stage_model`, when its adapters shall go on too; theirs are `text_encoders.<path>`.
    Raises DanluError for a broken file, for one of another family, and for what no adapter can go on with.
    """
    tensors = read_tensors(lora_path(name), name, "start_lora")
    keys, shapes = _targets(model, text_model)
    found, rest = _matched(name, tensors, keys)
    notes = _checked_rest(name, list(found), rest, text_model is not None)
    layers = {_path(weight): _layer(name, weight, pieces, shapes[weight]) for weight, pieces in found.items()}
    algorithms = sorted({algorithm for algorithm, _ in layers.values()})
    if len(algorithms) != 1:
        raise DanluError(f"start_lora: '{name}' mixes {' and '.join(algorithms)}; no adapter can go on with it.")
    matrices = {path: layer for path, (_, layer) in layers.items()}
    return StartLora(name, _identity(tensors), algorithms[0], matrices, notes)


def read_tensors(path: Path, name: str, source: str) -> dict[str, Tensor]:
    """All tensors of a file, checked: safetensors, floating point, finite. `source`: the input that named it."""
    if path.stat().st_size > _LARGEST:
        raise DanluError(f"{source}: '{name}' is larger than any LoRA; it may be a whole model.")
    try:
        with safe_open(path, framework="pt") as file:
            # Copies: memory-mapped tensors would keep the file open and change with it.
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise DanluError(f"{source}: '{name}' is no safetensors file, or a broken one ({error}).") from error
    for key, tensor in tensors.items():
        if not tensor.is_floating_point() and not key.endswith(".alpha"):
            raise DanluError(f"{source}: '{name}' holds {tensor.dtype} in {key}; a LoRA is made of floating point.")
        if not torch.isfinite(tensor.float()).all():
            raise DanluError(f"{source}: '{name}' holds values that are not numbers in {key}: it is broken.")
    return tensors


def _targets(model: Any, text_model: nn.Module | None) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """Every name that a file may use -> the weight (and rows of it) that it means; and the weights' shapes."""
    keys: dict[str, Any] = comfy.lora.model_lora_keys_unet(model, {})
    shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    if text_model is not None:
        of_text = comfy.lora.model_lora_keys_clip(text_model, {})
        keys = {**keys, **{key: f"text_encoders.{weight}" for key, weight in of_text.items()}}
        shapes |= {f"text_encoders.{key}": tuple(t.shape) for key, t in text_model.state_dict().items()}
    return keys, shapes


def _matched(
    name: str, tensors: Mapping[str, Tensor], keys: Mapping[str, Any]
) -> tuple[dict[str, list[Piece]], list[str]]:
    """Weight -> what the host's loader would do to it; and the keys that it does not know."""
    try:
        file = comfy.lora_convert.convert_lora(dict(tensors))
        patches = comfy.lora.load_lora(file, keys, log_missing=False)
    except (KeyError, RuntimeError, ValueError, IndexError) as error:
        raise DanluError(f"start_lora: ComfyUI cannot read '{name}' ({error!r}): it is broken.") from error
    found: dict[str, list[Piece]] = {}
    known: set[str] = set()
    for target, adapter in patches.items():
        weight, offset, function = (*target, None)[:3] if isinstance(target, tuple) else (target, None, None)
        if offset is not None and offset[0] != 0:
            raise DanluError(f"start_lora: '{name}' changes some columns of {weight}; no adapter can go on with that.")
        start, length = offset[1:] if offset else (0, None)
        found.setdefault(weight, []).append(Piece(adapter, start, length, function))
        known |= getattr(adapter, "loaded_keys", set())
    return found, [key for key in file if key not in known]


def _checked_rest(name: str, found: list[str], rest: list[str], reads_text: bool) -> tuple[str, ...]:
    """Notes on what is left of the file; raises DanluError when it belongs to another model."""
    of_text = [key for key in rest if key.startswith(_TEXT)]
    unknown = stems_of(dict.fromkeys((key for key in rest if key not in of_text), torch.empty(0)))
    if len(unknown) > len(found) or not found:
        first = f", such as {unknown[0]}" if unknown else ""
        raise DanluError(
            f"start_lora: '{name}' is for another model: {len(found)} of its {len(found) + len(unknown)} layers are "
            f"in this one{first}. {_OTHER_FAMILY}"
        )
    notes = (
        [f"start_lora: {len(unknown)} layers of '{name}' are not in this model, first {unknown[0]}"] if unknown else []
    )
    if of_text and not reads_text:
        notes.append(f"start_lora: the text encoder's part of '{name}' is left out, here and in what is saved")
    return tuple(notes)


def _layer(name: str, weight: str, pieces: list[Piece], shape: tuple[int, ...]) -> Any:
    """(algorithm, matrices) of one weight of `shape`."""
    if not weight.endswith(".weight") or not all(map(can_go_on, pieces)):
        raise DanluError(
            f"start_lora: '{name}' changes {weight} by something else than matrices of low rank (a bias, a norm or a "
            "full difference, as ComfyUI's own trainer saves them); no adapter can go on with that."
        )
    try:
        return start_layer(pieces, shape)
    except (RuntimeError, ValueError, IndexError, AttributeError, TypeError) as error:
        raise DanluError(
            f"start_lora: '{name}' does not fit layer {_path(weight)} of this model, a weight of "
            f"{'x'.join(map(str, shape))}: {error}. {_OTHER_FAMILY}"
        ) from error


def _path(weight: str) -> str:
    return weight.removeprefix("diffusion_model.").removesuffix(".weight")


def _identity(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key].contiguous()
        digest.update(f"{key}|{tuple(tensor.shape)}|{tensor.dtype}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
