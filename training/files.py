"""LoRA files: their names, where they may be written, and never over another one."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import DanluError
from .metadata import PERSONAL, hashes
from .writing import packed, safetensors_parts, write_atomically

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))}
LONGEST_NAME = 150
"""Bytes: file systems take 255, and a step, a number and an ending come behind."""
_EXACT = (".alpha", ".dora_scale", ".rescale")
"""Few numbers, each of which scales a whole layer or row: always float32."""
_naming = threading.Lock()
"""A node and a page may save under the same name at once."""


def checked_name(name: str, what: str) -> str:
    """A file name and nothing more; raises DanluError, naming the input, for paths and unusable characters."""
    clean = name.strip()
    if len(clean.encode()) > LONGEST_NAME:
        raise DanluError(f"{what} is longer than {LONGEST_NAME} bytes; choose a shorter name.")
    reserved = clean.partition(".")[0].upper() in _RESERVED
    if not clean.strip(".") or _FORBIDDEN.search(clean) or clean.endswith(".") or reserved:
        raise DanluError(
            f"{what} is {name!r}: it must be a plain name, without slashes, '..' or any of <>:\"|?*, and none that "
            "Windows keeps for devices. "
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


def as_dtype(lora: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Matrices in the file's dtype (None: in their own); scales stay float32."""
    return {key: t.float() if key.endswith(_EXACT) else t.to(dtype or t.dtype).contiguous() for key, t in lora.items()}


def write_lora(folder: Path, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> Path:
    """`folder/name.safetensors` with metadata `facts`. A file of that name with another LoRA is kept: the new one
    gets a number. One with the same LoRA is kept as it is, whatever graph or picture it carries."""
    header, data = safetensors_parts(tensors)
    facts = {**facts, **hashes(header, data, facts)}
    folder.mkdir(parents=True, exist_ok=True)
    with _naming:
        for number in range(1, 10_000):
            path = folder / (f"{name}.safetensors" if number == 1 else f"{name}-{number}.safetensors")
            if not path.exists():
                write_atomically(path, packed(header, facts, data))
                return path
            if _same(path, header, facts, data):
                return path
    raise DanluError(f"{folder} holds thousands of files named {name}; choose another name.")


def _same(path: Path, header: Mapping[str, object], facts: Mapping[str, str], data: bytes) -> bool:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if path.stat().st_size != 8 + size + len(data):
            return False
        try:
            found = json.loads(file.read(size))
            found_facts = found.pop("__metadata__", {})
        except (ValueError, AttributeError):
            return False
        if found != header or _impersonal(found_facts) != _impersonal(facts):
            return False
        return hashlib.sha256(file.read()).digest() == hashlib.sha256(data).digest()


def _impersonal(facts: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in facts.items() if key not in PERSONAL}
