"""Pictures that are done with, moved from memory into files: same tensor, same values, other storage.

The host keeps what every node has returned until the prompt ends: forty cells of 1024 x 1024 are half a gigabyte, and
as much again for each node that such a picture passes through. Whoever still holds such a tensor reads it from its
file; what nobody reads takes no memory.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LEAST = 2**20
"""Bytes; smaller ones are not worth a file."""
MARK = "danlu_in_file"
"""Attribute of a tensor that has been moved: torch does not tell where a storage lies."""


def spill(values: Any, folder: Path) -> None:
    """Moves the tensors in `values` (nested lists and dicts) that are large and in main memory into files in `folder`.

    Raises OSError where they cannot be written; they are left as they are then.
    """
    large = list({id(tensor): tensor for tensor in _large(values)}.values())
    for tensor in large:
        tensor.set_(on_disk([tensor], folder))
        setattr(tensor, MARK, True)
    if large:
        _give_back()


def on_disk(blocks: Iterable[Tensor], folder: Path) -> Tensor:
    """What `torch.cat(blocks)` gives, from a file: pages of it are read when they are used. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    rows, last = 0, torch.empty(0)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".bin", delete=False) as file:
        try:
            for last in blocks:
                rows += len(last)
                file.write(last.contiguous().flatten().view(torch.uint8).numpy().data)
            file.flush()
            shape = (rows, *last.shape[1:])
            found = _mapped(file.name, torch.Size(shape).numel(), last.dtype)
        finally:
            if os.name != "nt":
                # The file lives on as long as it is mapped, and no longer, whatever becomes of this process.
                os.unlink(file.name)
    return found.view(shape)


def _mapped(name: str, count: int, dtype: torch.dtype) -> Tensor:
    try:
        return torch.from_file(name, shared=False, size=count, dtype=dtype)
    except RuntimeError as error:  # what torch makes of a file that cannot be mapped
        raise OSError(f"it cannot be mapped into memory: {error}") from error


def _clear(folder: Path) -> None:
    """Where a mapped file cannot be removed (Windows), it is as soon as nobody maps it any more."""
    for file in folder.glob("*.bin") if os.name == "nt" else ():
        with suppress(OSError):
            file.unlink()


def _large(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Mapping):
        values = list(values.values())
    if isinstance(values, list | tuple):
        for value in values:
            yield from _large(value)
    elif type(values) is Tensor and _in_memory(values) and values.nbytes >= LEAST:
        yield values


def _in_memory(tensor: Tensor) -> bool:
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.requires_grad
    return plain and not hasattr(tensor, MARK)


def _give_back() -> None:
    """Tells the C library to return what is free to the system: between small objects, glibc keeps holes of the size
    of a picture, and seldom finds a use for them."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
