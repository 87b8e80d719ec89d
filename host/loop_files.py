"""Files that loops read: LoRAs, and whatever a graph names."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import folder_paths
from torch import Tensor

from ..errors import DanluError
from ..sweep.files import LoraFiles, files_in, is_below
from .paths import runs_folder

_NO_MODELS = ("custom_nodes", "configs")


def lora_roots() -> list[Path]:
    return [Path(folder) for folder in folder_paths.get_folder_paths("loras")]


def checkpoints_from(folder: str, pattern: str) -> LoraFiles:
    """The first of the host's LoRA folders that has such a folder."""
    roots = lora_roots()
    root = next((root for root in roots if (root / folder.strip()).is_dir()), roots[0])
    return files_in(root, folder, pattern)


def folder_stamp(folder: str, pattern: str) -> list[Any]:
    """Changes when a file of `checkpoints_from` does; empty where there is none."""
    try:
        found = checkpoints_from(folder, pattern)
    except DanluError:
        return []
    return [[label, *_stamp(path)] for label, path in found.files]


def mapped_lora(file: str) -> dict[str, Tensor]:
    """A LoRA whose tensors stay on disk until they are used. Raises DanluError for files elsewhere."""
    from safetensors import SafetensorError, safe_open

    path = Path(file)
    if not any(is_below(path, root) for root in (*lora_roots(), runs_folder())):
        raise DanluError(f"{file} lies outside of models/loras and of Danlu's runs.")
    try:
        with safe_open(path, framework="pt") as opened:
            return {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DanluError(f"{path.name} cannot be read: {error}. Take it out of the folder, or get it again.") from error


def trigger_of(path: Path) -> str:
    """The word that a LoRA file, or a run's checkpoint, says it was trained with; empty where it says none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            found = opened.metadata() or {}
            return (found.get("trigger") or found.get("modelspec.trigger_phrase") or "").strip()
    except (OSError, SafetensorError):
        return ""


def content_hash(path: Path) -> str:
    """sha256 of a file, read once for as long as its time and size stay."""
    return _content_hash(str(path), *_stamp(path))


@lru_cache(maxsize=4096)
def _content_hash(path: str, _changed: int, _size: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def named_file(text: str) -> list[Any] | None:
    """Time and size of the file that a node's text names, in whichever of the host's folders; None: it names none."""
    if len(text) > 300 or "." not in text or "\n" in text or "\0" in text:
        return None
    if folder_paths.exists_annotated_filepath(text):
        path = folder_paths.get_annotated_filepath(text)
        return list(_stamp(Path(path))) if os.path.isfile(path) else None
    for folder in folder_paths.folder_names_and_paths:
        path = None if folder in _NO_MODELS else folder_paths.get_full_path(folder, text)
        if path is not None:
            return list(_stamp(Path(path)))
    return None
