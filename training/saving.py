"""Writing LoRA files from runs: which checkpoints, under which names, checked by reading them back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from ..advisor.reading import recommended
from ..errors import DanluError
from .files import DTYPES, as_dtype, checked_name, target_folder, write_lora
from .formats import Names, check_format, stems_of, to_format
from .metadata import architecture, metadata
from .runs.store import LoraModel, RunHandle, RunStore

Verify = Callable[[Path, Mapping[str, Tensor], Names], None]
"""(file, the tensors that were meant, their names in the file); raises when the host reads something else."""

_KOHYA_BASES = ("sd_v1", "sd_v2", "sdxl", "flux1")
"""Families whose LoRAs other programs read under kohya's names."""
_FP16_BASES = ("sd_v1", "sd_v2", "sdxl")
"""Families whose weights are shared in fp16; newer ones are in bf16."""


@dataclass(frozen=True)
class SaveRequest:
    loras_folder: Path
    name: str
    subfolder: str
    format: str
    dtype: str
    which: str
    """"final", "all", or "recommended" by the advisor."""
    extras: Mapping[str, str] = field(default_factory=dict)
    """More metadata: the graph, a thumbnail."""


def save_run(handle: RunHandle, request: SaveRequest, verify: Verify) -> list[Path]:
    """The final or the recommended LoRA under its plain name, or every checkpoint with its step in the name."""
    name = checked_name(request.name or handle.name, "name")
    folder = target_folder(request.loras_folder, request.subfolder)
    every = request.which == "all"
    last = recommended(handle).step if request.which == "recommended" else handle.step
    steps = [c.step for c in handle.checkpoints()] if every else [last]
    if not steps:
        raise DanluError(f"The run '{handle.name}' holds no checkpoint up to step {handle.step}.")
    return [
        _save(handle.folder, step, folder, f"{name}_{step:06}" if every else name, request, verify) for step in steps
    ]


def save_lora(lora: Mapping[str, Tensor], request: SaveRequest, verify: Verify) -> list[Path]:
    """A LORA_MODEL: ours through its run, any other as it is."""
    if isinstance(lora, LoraModel):
        return save_run(lora.handle, request, verify)
    for input_name, value in (("which", request.which), ("format", request.format)):
        if value not in ("final", "auto"):
            raise DanluError(
                f"{input_name} is '{value}', but this LoRA comes from another node, without the run that would tell. "
                "Wire checkpoints or lora from a train node of Danlu, or leave which on final and format on auto."
            )
    name = checked_name(request.name, "name")
    folder = target_folder(request.loras_folder, request.subfolder)
    tensors = as_dtype(lora, DTYPES.get(request.dtype))
    return [write_lora(folder, name, tensors, {**metadata(name, {}), **request.extras})]


def chosen_format(format: str, facts: Mapping[str, str]) -> str:
    """auto: kohya where other programs read no other, else ComfyUI's own."""
    if format != "auto":
        return format
    return "kohya" if _base(facts).startswith(_KOHYA_BASES) else "comfy"


def chosen_dtype(dtype: str, facts: Mapping[str, str]) -> str:
    """auto: what the family's own files are in."""
    if dtype != "auto":
        return dtype
    return "fp16" if _base(facts).startswith(_FP16_BASES) else "bf16"


def _base(facts: Mapping[str, str]) -> str:
    return architecture(facts.get("family", ""), facts.get("prediction", ""))[1]


def _save(run: Path, step: int, folder: Path, name: str, request: SaveRequest, verify: Verify) -> Path:
    store = RunStore(run)
    tensors, facts = store.load_checkpoint(step)
    format, dtype = chosen_format(request.format, facts), DTYPES[chosen_dtype(request.dtype, facts)]
    check_format(tensors, format)
    names = store.names().of(format, stems_of(tensors))
    written = as_dtype(to_format(tensors, format, names), dtype)
    path = write_lora(folder, name, written, {**metadata(name, facts), **request.extras})
    try:
        verify(path, as_dtype(tensors, dtype), names)
    except DanluError:
        # A file that does not work must not stay where loaders list it.
        path.unlink()
        raise
    return path
