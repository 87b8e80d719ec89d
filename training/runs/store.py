"""A run on disk: manifest, log and checkpoints, in a folder named by what decides the run's result.

<runs>/<id>/manifest.json            base, data, configs, seed: what the id is computed from
<runs>/<id>/names.json               what other programs call the trained layers
<runs>/<id>/log.jsonl                one line a step
<runs>/<id>/checkpoints/000250.safetensors
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from .formats import FileNames
from .loop import StepLog


@dataclass(frozen=True)
class Checkpoint:
    step: int
    path: Path


@dataclass(frozen=True)
class RunHandle:
    """What nodes pass on: a run and a step of it. Immutable and light; the tensors stay on disk."""

    folder: Path
    step: int
    name: str

    @property
    def manifest(self) -> dict[str, Any]:
        return RunStore(self.folder).manifest()

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Those up to this handle's step, oldest first."""
        return tuple(c for c in RunStore(self.folder).checkpoints() if c.step <= self.step)


def run_id(parts: Mapping[str, Any]) -> str:
    """Stable name of a run from everything that decides its result."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class LoraModel(dict[str, Tensor]):
    """The host's LORA_MODEL, a dict of tensors, that remembers which run it came from."""

    def __init__(self, tensors: Mapping[str, Tensor], handle: RunHandle) -> None:
        super().__init__(tensors)
        self.handle = handle


@dataclass(frozen=True)
class RunStore:
    """Reading and writing one run's folder."""

    folder: Path

    @property
    def manifest_path(self) -> Path:
        return self.folder / "manifest.json"

    def manifest(self) -> dict[str, Any]:
        return json.loads(self.manifest_path.read_text(encoding="utf-8"))

    @property
    def log_path(self) -> Path:
        return self.folder / "log.jsonl"

    def start(self, manifest: Mapping[str, Any]) -> None:
        """A fresh run: whatever an unfinished one left under the same id is removed."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "checkpoints").mkdir(parents=True)
        write_atomically(self.manifest_path, json.dumps(manifest, indent=1, sort_keys=True).encode())

    def write_names(self, names: FileNames) -> None:
        write_atomically(self.folder / "names.json", json.dumps(names.as_json(), indent=1).encode())

    def names(self) -> FileNames:
        """What the trained layers are called in each file format."""
        return FileNames.from_json(json.loads((self.folder / "names.json").read_text(encoding="utf-8")))

    def checkpoint_path(self, step: int) -> Path:
        return self.folder / "checkpoints" / f"{step:06}.safetensors"

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        files = (self.folder / "checkpoints").glob("*.safetensors")
        return tuple(sorted((Checkpoint(int(file.stem), file) for file in files), key=lambda c: c.step))

    def save_checkpoint(self, step: int, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
        write_atomically(self.checkpoint_path(step), safetensors_bytes(tensors, metadata))

    def load_checkpoint(self, step: int) -> tuple[dict[str, Tensor], dict[str, str]]:
        from safetensors import safe_open

        with safe_open(self.checkpoint_path(step), framework="pt") as file:
            # Copies: memory-mapped tensors would keep the file open and change with it.
            return {key: file.get_tensor(key).clone() for key in file.keys()}, file.metadata() or {}  # noqa: SIM118

    def keep_last(self, count: int, final_step: int) -> None:
        """Removes all but the newest `count` checkpoints and the final one; -1 keeps all."""
        if count < 0:
            return
        removable = [c for c in self.checkpoints() if c.step != final_step]
        for old in removable[: max(0, len(removable) - count)]:
            old.path.unlink()

    def append_log(self, entry: StepLog) -> None:
        with self.log_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(vars(entry)) + "\n")

    def losses(self, until: int) -> list[float]:
        """Loss of steps 1 to `until`, from the log."""
        if not self.log_path.exists():
            return []
        lines = self.log_path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["loss"] for line in lines[:until]]


def safetensors_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file: the same tensors and metadata give the same bytes."""
    header, data = safetensors_parts(tensors)
    return packed(header, metadata, data)


def safetensors_parts(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], bytes]:
    """(header, without metadata; the tensors' bytes) of a safetensors file."""
    from safetensors.torch import save

    raw = save(dict(tensors))
    end = 8 + int.from_bytes(raw[:8], "little")
    return json.loads(raw[8:end]), raw[end:]


def packed(header: Mapping[str, Any], metadata: Mapping[str, str], data: bytes) -> bytes:
    """The file that `safetensors_parts` took apart, its header's keys sorted.

    The library writes metadata in the order of a hash map, another one each time. Tensors stay where they are, since
    offsets count from the end of the header.
    """
    full = {**header, "__metadata__": dict(metadata)} if metadata else header
    text = json.dumps(full, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def write_atomically(path: Path, content: bytes) -> None:
    """Written beside, synced, then renamed: a reader sees the old file or the whole new one."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
