"""Writing LoRA files from runs: which checkpoints, under which names, checked by reading them back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..errors import DanluError
from .files import as_dtype, checked_name, metadata, renamed, target_folder, write_lora
from .store import LoraModel, RunHandle, RunStore

Verify = Callable[[Path, Mapping[str, Tensor], Mapping[str, str]], None]
"""(file, the tensors that were meant, their names in the file); raises when the host reads something else."""


@dataclass(frozen=True)
class SaveRequest:
    loras_folder: Path
    name: str
    subfolder: str
    format: str
    dtype: str
    which: str
    """"final" or "all"."""


def save_run(handle: RunHandle, request: SaveRequest, verify: Verify) -> list[Path]:
    """One file a checkpoint; the final one bears the plain name, the others their step."""
    name = checked_name(request.name or handle.name, "name")
    folder = target_folder(request.loras_folder, request.subfolder)
    store = RunStore(handle.folder)
    steps = [handle.step] if request.which == "final" else [c.step for c in handle.checkpoints()]
    if not steps:
        raise DanluError(f"The run '{handle.name}' holds no checkpoint up to step {handle.step}.")
    written = []
    for step in steps:
        tensors, facts = store.load_checkpoint(step)
        file_name = name if step == handle.step else f"{name}-{step:06}"
        written.append(_save(tensors, facts, store.names(), folder, file_name, request, verify))
    return written


def save_lora(lora: Mapping[str, Tensor], request: SaveRequest, verify: Verify) -> list[Path]:
    """A LORA_MODEL: ours through its run, any other as it is."""
    if isinstance(lora, LoraModel):
        return save_run(lora.handle, request, verify)
    if request.which == "all":
        raise DanluError("which is 'all', but this LoRA came without its run. Wire checkpoints, or choose final.")
    name = checked_name(request.name, "name")
    folder = target_folder(request.loras_folder, request.subfolder)
    return [write_lora(folder, name, as_dtype(lora, request.dtype), metadata(name, {}))]


def _save(
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, str],
    kohya: Mapping[str, str],
    folder: Path,
    name: str,
    request: SaveRequest,
    verify: Verify,
) -> Path:
    names = {} if request.format == "comfy" else dict(kohya)
    meant = as_dtype(tensors, request.dtype)
    path = write_lora(folder, name, renamed(meant, names), metadata(name, facts))
    try:
        verify(path, meant, names)
    except DanluError:
        # A file that does not work must not stay where loaders list it.
        path.unlink()
        raise
    return path
