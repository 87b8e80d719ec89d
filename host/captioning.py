"""A captioner's model under the host's memory management: other models may take its place, and it theirs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import comfy.model_management as management
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ..captioning.precision import Room
from .identity import patcher_identity


class Holder(nn.Module):
    """A plain module around the model: the host's patcher writes `device` on it, which a model of transformers has as
    a read-only property."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner
        self.device: torch.device | None = None


class WholePatcher(ModelPatcher):
    """All of the model is on the device, or nothing: layers that are not the host's cannot borrow single weights.

    The host's other patcher, which pages weights in layer by layer (DynamicVRAM), has nothing to page here. Its plain
    one would move a part out, and count weights that are tied several times.
    """

    def partially_unload(self, device_to: torch.device, memory_to_free: int = 0, **others: object) -> int:
        """Frees nothing by itself: the host then takes the whole model off."""
        return 0


class HostHome:
    """`captioning.home.Home`: one model at a time."""

    def __init__(self, device: torch.device | None = None) -> None:
        """`device`: in place of the one that the host computes on."""
        self._device = device
        self.patcher: WholePatcher | None = None

    def ready(self, model: nn.Module, needed: int) -> torch.device:
        """Loads it whole: layers that are not the host's cannot borrow weights one by one."""
        if self.patcher is None or self.patcher.model.inner is not model:
            self.patcher = self._patcher(model)
        management.load_models_gpu([self.patcher], memory_required=needed, force_full_load=True)
        return torch.device(self.patcher.load_device)

    def make_room(self, size: int) -> torch.device:
        device = self._device or management.get_torch_device()
        management.free_memory(size, device)
        return device

    def leave(self, model: nn.Module) -> None:
        """Off the device, and out of the host's list."""
        if self.patcher is None or self.patcher.model.inner is not model:
            return
        others = [loaded for loaded in management.current_loaded_models if loaded.model is not self.patcher]
        management.free_memory(1e30, torch.device(self.patcher.load_device), keep_loaded=others)
        self.patcher = None
        gc.collect()
        management.soft_empty_cache()

    def check(self) -> None:
        management.throw_exception_if_processing_interrupted()

    def _patcher(self, model: nn.Module) -> WholePatcher:
        return WholePatcher(
            Holder(model),
            load_device=self._device or management.get_torch_device(),
            offload_device=management.unet_offload_device(),
            size=sum(tensor.nbytes for tensor in _tensors(model)),
        )


def compute_dtype(precision: str) -> str:
    """torch's name of the dtype that a node's input `precision` ("auto", "fp32", "fp16", "bf16") stands for."""
    named = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
    if precision != "auto":
        return named[precision]
    device = management.get_torch_device()
    if management.is_device_cpu(device):
        return named["fp32"]
    if management.should_use_fp16(device):
        return named["fp16"]
    return named["bf16" if management.should_use_bf16(device) else "fp32"]


def room() -> Room:
    """What a captioner's model may take of the host's device: what is free, and what other models would give back."""
    device = management.get_torch_device()
    if management.is_device_cpu(device):
        return Room("cpu", int(management.get_free_memory(device)), "fp32")
    held = sum(
        int(loaded.model_loaded_memory())
        for loaded in management.current_loaded_models
        if loaded.model is not None and loaded.device == device
    )
    free = int(management.get_free_memory(device)) + held - int(management.extra_reserved_memory())
    compute = "bf16" if management.should_use_bf16(device) else "fp16" if management.should_use_fp16(device) else "fp32"
    return Room(device.type, max(0, free), compute)


def writes(clip: Any) -> bool:
    """Whether a text encoder can write texts: all of the host's have a `generate`, few have a model that does."""
    outer = clip.cond_stage_model
    inner = getattr(outer, str(getattr(outer, "clip", "")), outer)
    return hasattr(getattr(inner, "transformer", inner), "generate")


def clip_identity(clip: Any) -> str:
    return patcher_identity(clip.patcher)


def drop_clip(clip: Any) -> None:
    """Off the device; the user's graph still holds it."""
    management.unload_model_and_clones(clip.patcher)


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    """Every weight once: the host would count tied ones again and again."""
    seen: set[int] = set()
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            yield tensor
