"""Encoded pictures and captions on disk, found again by content.

A file's name is a hash of everything that decides what is in it, so nothing is ever out of date: what changes gets
another name. Files appear by rename, complete or not at all.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from ..dataset import known
from ..errors import DanluError
from .data import Conditioning

log = logging.getLogger(__name__)

MEMORY_BYTES = 512 << 20
LATENT, CROSS_ATTENTION, EXTRA = "latent", "cross_attn", "extra."


class DiskCache:
    """A `TensorCache`: latents of any VAE, conditionings of the one text encoder that it is opened for."""

    def __init__(self, folder: Path, text_identity: str, memory_bytes: int = MEMORY_BYTES):
        self.folder = folder
        self._root = str(folder)
        self.text_identity = text_identity
        self._recent = _Recent(memory_bytes)

    def latent(self, key: str) -> Tensor:
        # A copy: what a training step does to it must not reach the next one.
        with torch.inference_mode(False):
            return self._read(self._latent_file(key))[LATENT].clone()

    def conditioning(self, caption: str) -> Conditioning:
        tensors = self._read(self._caption_file(caption))
        extras = {name[len(EXTRA) :]: tensor for name, tensor in tensors.items() if name.startswith(EXTRA)}
        return Conditioning(tensors[CROSS_ATTENTION], extras)

    def has_latent(self, key: str) -> bool:
        return _is_whole(self._place("latents", key))

    def has_conditioning(self, caption: str) -> bool:
        return _is_whole(self._place("captions", digest(self.text_identity, caption)))

    def put_latent(self, key: str, latent: Tensor) -> None:
        _write(self._latent_file(key), {LATENT: latent})

    def put_conditioning(self, caption: str, conditioning: Conditioning) -> None:
        extras = {EXTRA + name: tensor for name, tensor in conditioning.extras.items()}
        _write(self._caption_file(caption), {CROSS_ATTENTION: conditioning.cross_attn, **extras})

    def _latent_file(self, key: str) -> Path:
        return Path(self._place("latents", key))

    def _caption_file(self, caption: str) -> Path:
        return Path(self._place("captions", digest(self.text_identity, caption)))

    def _place(self, kind: str, key: str) -> str:
        return os.path.join(self._root, kind, key[:2], f"{key}.safetensors")

    def _read(self, file: Path) -> Mapping[str, Tensor]:
        found = self._recent.get(file.name)
        if found is None:
            found = _load(file)
            self._recent.put(file.name, found)
        return found


class _Recent:
    """The tensors read last, up to a number of bytes. Safe to use from several threads."""

    def __init__(self, limit: int):
        self._limit = limit
        self._bytes = 0
        self._items: OrderedDict[str, Mapping[str, Tensor]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Mapping[str, Tensor] | None:
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
            return self._items.get(key)

    def put(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        with self._lock:
            self._bytes += _size(tensors) - _size(self._items.pop(key, {}))
            self._items[key] = tensors
            while self._bytes > self._limit and len(self._items) > 1:
                self._bytes -= _size(self._items.popitem(last=False)[1])


def digest(*parts: object) -> str:
    """sha256 over texts, with their borders: ("ab", "c") and ("a", "bc") differ."""
    raws = [str(part).encode("utf-8", "surrogatepass") for part in parts]
    return hashlib.sha256(b"".join([len(raw).to_bytes(8, "little") + raw for raw in raws])).hexdigest()


def _load(file: Path) -> dict[str, Tensor]:
    # The host runs everything in inference mode; tensors made there could never be trained on.
    try:
        with torch.inference_mode(False):
            return load_file(file)
    except (OSError, SafetensorError) as error:
        file.unlink(missing_ok=True)  # so that it is encoded again
        raise DanluError(
            f"The encoded file {file} is gone or broken. Press 'Free model and node cache' in ComfyUI's menu and "
            "queue again: Encode Dataset (Danlu) makes it anew."
        ) from error


def _is_whole(file: str) -> bool:
    """Opening compares the length in the header with the file's; once for each file."""
    try:
        stamp = known.stamp_of(os.stat(file))
        if known.get("whole", file, stamp) is not None:
            return True
        with safe_open(file, framework="pt") as opened:
            whole = bool(opened.keys())
    except (OSError, SafetensorError):
        return False
    if whole:
        known.put("whole", file, stamp, "", ours=True)
    return whole


def _write(file: Path, tensors: Mapping[str, Tensor]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        temporary.write_bytes(save({name: tensor.contiguous() for name, tensor in tensors.items()}))
        os.replace(temporary, file)
        known.put("whole", str(file), known.stamp_of(file.stat()), "", ours=True)
    except OSError as error:
        raise DanluError(
            f"The encoded file {file} cannot be written ({error.strerror}). "
            "Make room on that disk, or check who may write there."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _size(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())
