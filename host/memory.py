"""The memory that the host has, and would make room in, for a model."""

from __future__ import annotations

import os

import comfy.model_management as management
import psutil
import torch
from comfy.model_patcher import ModelPatcher

from ..training.memory import Card, shown_bytes


def card_of(patcher: ModelPatcher) -> Card:
    """Of the device that the model computes on."""
    device = torch.device(patcher.load_device)
    free, base = int(management.get_free_memory(device)), int(patcher.model_size())
    total = int(management.get_total_memory(device))
    if device.type == "cpu":
        # The base lies there already, and nothing of it or of other models can go elsewhere.
        return Card("RAM", total, free + base, base)
    held = sum(
        int(loaded.model_loaded_memory())
        for loaded in management.current_loaded_models
        if loaded.model is not None and loaded.device == device
    )
    # Other models are unloaded before training; the host keeps a little for whatever else uses the card.
    room = free + held - int(management.extra_reserved_memory())
    return Card(_name(device), total, max(0, min(room, total)), base, offloads=True)


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def memory_in_use(device: torch.device) -> str:
    """ "VRAM 9.4 of 24.0 GB", as task managers show it: of all programs, with what torch keeps for its next step.

    Where a device has no memory of its own, or the host does not know it: that of this process.
    """
    if device.type == "mps":
        return f"RAM {shown_bytes(torch.mps.driver_allocated_memory())}"
    if device.type == "cpu" or management.directml_enabled:
        return f"RAM {shown_bytes(psutil.Process(os.getpid()).memory_info().rss)}"
    free, kept = management.get_free_memory(device, torch_free_too=True)
    total = management.get_total_memory(device)
    return f"VRAM {(total - free + kept) / 2**30:.1f} of {total / 2**30:.1f} GB"
