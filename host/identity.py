"""What a loaded model *is*, computed from its weights: never from a path, an object id or a random uuid.

A reload, a restart or a renamed file give the same identity; one changed weight or strength gives another.
"""

from __future__ import annotations

import hashlib
import uuid
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

SAMPLES = 4
SAMPLE_BYTES = 1024
"""Per tensor: this many stretches of this many bytes, at fixed places from its start to its end."""

_unique: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
_memo: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def weights_identity(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over sorted (key, shape, dtype, sampled bytes)."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key]
        digest.update(f"{key}|{tuple(tensor.shape)}|{tensor.dtype}|".encode())
        for piece in _samples(tensor):
            digest.update(piece)
    return digest.hexdigest()


def patcher_identity(patcher: ModelPatcher) -> str:
    """Identity of the unpatched weights, plus content and strength of the patches that are applied."""
    digest = hashlib.sha256(_unpatched_identity(patcher).encode())
    for key in sorted(patcher.patches):
        for patch in patcher.patches[key]:
            digest.update(key.encode())
            _update(digest, patch)
    _update(digest, {k: v for k, v in patcher.model_options.items() if k != "transformer_options"})
    digest.update(_code_identity(patcher).encode())
    return digest.hexdigest()


def _code_identity(patcher: ModelPatcher) -> str:
    """Other packs may hook functions into a model, and a function has no content to compare.

    Such a model is like no other, not even itself after a restart: a run on it may be trained again, but is never
    answered by another model's.
    """
    if not patcher.injections and not patcher.model_options.get("transformer_options"):
        return ""
    return _unique.setdefault(patcher, uuid.uuid4().hex)


def model_identity(patcher: ModelPatcher) -> str:
    """`patcher_identity` and the noise schedule the model is sampled with."""
    sampling = patcher.get_model_object("model_sampling")
    settings = {k: v for k, v in vars(sampling).items() if isinstance(v, (int, float, str))}
    kinds = [kind.__name__ for kind in type(sampling).__mro__]
    text = f"{patcher_identity(patcher)}|{kinds}|{sorted(settings.items())}"
    return hashlib.sha256(text.encode()).hexdigest()


def _unpatched_identity(patcher: ModelPatcher) -> str:
    model = patcher.model
    if model not in _memo:
        # A tested LoRA may be baked into the shared module right now: the originals are in `backup`.
        originals = {key: entry.weight for key, entry in patcher.backup.items()}
        _memo[model] = weights_identity({**model.state_dict(), **originals})
    return _memo[model]


def _samples(tensor: Tensor) -> Iterable[bytes]:
    flat = tensor.detach().reshape(-1)
    count = max(1, SAMPLE_BYTES // max(1, flat.element_size()))
    last = max(0, flat.numel() - count)
    starts = sorted({last * i // (SAMPLES - 1) for i in range(SAMPLES)})
    for start in starts:
        piece = flat[start : start + count].contiguous().cpu()
        yield piece.view(torch.uint8).numpy().tobytes()


def _update(digest: Any, value: Any) -> None:
    """Feeds a nest of plain values, tensors and the host's adapter objects, in a fixed order."""
    if isinstance(value, Tensor):
        digest.update(f"{tuple(value.shape)}|{value.dtype}|".encode())
        for piece in _samples(value):
            digest.update(piece)
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            digest.update(str(key).encode())
            _update(digest, value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            _update(digest, item)
    elif value is None or isinstance(value, (int, float, str, bool, torch.dtype, torch.device)):
        digest.update(repr(value).encode())
    elif hasattr(value, "weights"):
        _update(digest, value.weights)
    else:
        digest.update(type(value).__qualname__.encode())
