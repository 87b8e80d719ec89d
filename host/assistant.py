"""A LoRA that helps a distilled base through training: beside its layers, frozen, and gone afterwards.

A distilled model (Turbo, Lightning, schnell) makes a picture in a few steps; trained as it is, it unlearns that. A
de-distilling LoRA at strength 1 makes it behave like the model before distillation. What is trained beside it then
fits the distilled base, on which it is used alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import comfy.lora
import comfy.lora_convert
import folder_paths
import torch
from comfy.weight_adapter.lora import LoRAAdapter
from torch import Tensor, nn

from ..errors import DanluError
from ..training.targets import is_linear
from .identity import weights_identity
from .start_lora import read_tensors

NONE = "none"


@dataclass(frozen=True)
class Part:
    """One LoRA on a layer, or on some rows of a fused one."""

    up: Tensor
    """(out, rank)"""
    down: Tensor
    """(rank, in)"""
    scale: float
    start: int
    length: int | None

    def on(self, device: torch.device) -> Part:
        return replace(self, up=self.up.to(device), down=self.down.to(device))

    def add(self, x: Tensor, output: Tensor) -> Tensor:
        found = nn.functional.linear(nn.functional.linear(x, self.down.to(x)), self.up.to(x)) * self.scale
        if self.length is not None:
            behind = output.shape[-1] - self.start - self.length
            found = nn.functional.pad(found, (self.start, behind))
        return output + found.to(output.dtype)


@dataclass(frozen=True)
class Assistant:
    name: str
    parts: Mapping[str, tuple[Part, ...]]
    """By the path of the layer in the network."""
    identity: str

    @contextmanager
    def attached(self, network: nn.Module, device: torch.device) -> Iterator[None]:
        """Adds it to the layers' outputs for the time of the context."""
        modules = dict(network.named_modules())
        handles = [
            modules[path].register_forward_hook(_hook([part.on(device) for part in parts]))
            for path, parts in self.parts.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _hook(parts: Sequence[Part]) -> Any:
    def add(_module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        for part in parts:
            output = part.add(args[0], output)
        return output

    return add


def read_assistant(name: str, model: Any) -> Assistant | None:
    """The file `name` of the host's LoRA folders; None for "none". Raises DanluError when it does not fit `model`."""
    if name == NONE:
        return None
    path = folder_paths.get_full_path("loras", name)
    if path is None or Path(path).suffix != ".safetensors":
        raise DanluError(f"assistant_lora: there is no safetensors file '{name}' in models/loras.")
    known = comfy.lora.model_lora_keys_unet(model, {})
    # Outside of inference mode, since autograd keeps these matrices.
    with torch.inference_mode(False):
        file = read_tensors(Path(path), name, "assistant_lora")
        tensors, found = _matched(name, file, known)
    matched = {key for patch in found.values() for key in getattr(patch, "loaded_keys", ())}
    lost = sorted(tensors.keys() - matched)
    if not found or lost:
        raise DanluError(
            f"assistant_lora: '{name}' does not fit this model: {len(lost)} of its {len(tensors)} keys belong to none "
            f"of the model's layers, first {next(iter(lost), 'none')}. Choose the LoRA that was made for this model."
        )
    by_layer: dict[str, tuple[Part, ...]] = {}
    for key, patch in found.items():
        layer, part = _part(name, key, patch)
        _check_size(name, layer, part, model.diffusion_model.get_submodule(layer))
        by_layer[layer] = (*by_layer.get(layer, ()), part)
    return Assistant(name, by_layer, weights_identity(file))


def _matched(
    name: str, file: Mapping[str, Tensor], known: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[Any, Any]]:
    """The file under the host's names, and what the host's loader would do to each weight."""
    try:
        tensors = comfy.lora_convert.convert_lora(dict(file))
        return tensors, comfy.lora.load_lora(tensors, known, log_missing=False)
    except (KeyError, RuntimeError, ValueError, IndexError) as error:
        raise DanluError(f"assistant_lora: ComfyUI cannot read '{name}' ({error!r}): it is broken.") from error


def _part(name: str, key: Any, patch: Any) -> tuple[str, Part]:
    """`key`: the name of a weight, or (name, (dimension, start, length)) for a slice of a fused one."""
    weight, piece = (key, None) if isinstance(key, str) else (key[0], key[1])
    plain = isinstance(patch, LoRAAdapter) and patch.weights[0].ndim == 2 and not any(map(_given, patch.weights[3:]))
    whole_rows = piece is None or (len(key) == 2 and piece[0] == 0)
    if not plain or not whole_rows or not weight.endswith(".weight"):
        raise DanluError(f"assistant_lora: '{name}' holds more than LoRA matrices of linear layers ({weight}).")
    up, down, alpha = patch.weights[:3]
    start, length = (0, None) if piece is None else (int(piece[1]), int(piece[2]))
    scale = 1.0 if alpha is None else float(alpha) / down.shape[0]
    return weight.removeprefix("diffusion_model.").removesuffix(".weight"), Part(up, down, scale, start, length)


def _check_size(name: str, path: str, part: Part, layer: Any) -> None:
    """A model of the same family may be wider."""
    if not is_linear(layer):
        raise DanluError(f"assistant_lora: '{name}' is on {path}, which is no linear layer of this model.")
    rows = layer.out_features if part.length is None else part.length
    if part.down.shape[1] != layer.in_features or part.up.shape[0] != rows:
        found, wanted = (part.up.shape[0], part.down.shape[1]), (rows, layer.in_features)
        raise DanluError(
            f"assistant_lora: '{name}' was made for a model of another size: {path} is {wanted}, its LoRA {found}."
        )


def _given(extra: Any) -> bool:
    return extra is not None
