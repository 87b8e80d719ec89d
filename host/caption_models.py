"""The host's folders for captioners' models."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from ..captioning.models import Places

FOLDERS = ("LLM", "florence2", "LLavacheckpoints", "taggers", "text_encoders")
"""Below models/, or by extra_model_paths: where the packs that people come from keep such models."""


def caption_places() -> Places:
    roots: list[Path] = []
    for name in FOLDERS:
        registered = folder_paths.folder_names_and_paths.get(name, ([], set()))[0]
        roots += [Path(folder_paths.models_dir) / name, *map(Path, registered)]
    return Places(tuple(dict.fromkeys(roots)), hub_cache())


def hub_cache() -> Path:
    """Where huggingface_hub keeps what other programs have downloaded; read without importing it."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
