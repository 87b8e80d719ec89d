"""Puts saving together with the host's folders and loader: what the save node calls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..errors import DanluError
from ..training.saving import SaveRequest, save_lora, save_run
from ..training.store import RunHandle
from .lora import verify
from .paths import loras_folder


def save_on_host(
    lora: Mapping[str, Tensor] | None,
    checkpoints: RunHandle | None,
    name: str,
    subfolder: str,
    which: str,
    format: str,
    dtype: str,
) -> list[Path]:
    """Files written, the final one last. Either input serves; checkpoints win for "all"."""
    request = SaveRequest(loras_folder(), name, subfolder, format, dtype, which)
    if checkpoints is not None and (lora is None or which == "all"):
        return save_run(checkpoints, request, verify)
    if lora is None:
        raise DanluError("Save LoRA: wire the lora or the checkpoints output of a train node.")
    return save_lora(lora, request, verify)
