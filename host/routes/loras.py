"""LoRA files that Danlu has saved, for programs that run on another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...views.errors import NotFound
from .answers import File, get
from .request import Request


@get("loras")
def lora(request: Request) -> Any:
    path = _own_lora(request.query.get("name", ""))
    if path is None:
        raise NotFound("there is no such LoRA of Danlu's in models/loras")
    return File(path, {"Content-Disposition": "attachment"})


def _own_lora(name: str) -> Path | None:
    """Only what the loaders list, by that very name, and what Danlu has written: other files are not ours to give."""
    import folder_paths
    from safetensors import SafetensorError, safe_open

    if not name.endswith(".safetensors") or name not in folder_paths.get_filename_list("loras"):
        return None
    found = folder_paths.get_full_path("loras", name)
    try:
        with safe_open(found, framework="np") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError, TypeError):
        return None
    return Path(found) if any(key.startswith("danlu") for key in metadata) else None
