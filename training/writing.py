"""Files that are whole or not there: written beside, synced, renamed."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..dataset.files import sync_folder


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
    # A page and a node may write the same file at once.
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Bytes of a file's name that are no text are escaped, as JSON has it."""
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
    write_atomically(path, text.encode("utf-8", "backslashreplace"))
