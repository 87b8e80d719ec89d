"""Where the host keeps datasets."""

from __future__ import annotations

from pathlib import Path

import folder_paths

from ..captioning.places import Places
from .paths import system_folder


def dataset_roots() -> tuple[Path, ...]:
    """Relative folders of datasets are looked up below these."""
    roots = [folder_paths.get_input_directory(), *folder_paths.get_folder_paths("datasets")]
    return tuple(Path(root) for root in roots)


def output_folder() -> Path:
    return Path(folder_paths.get_output_directory())


def caption_places() -> Places:
    """Captions go beside their pictures, except where the host or we keep pictures for a while only."""
    return Places(output_folder(), (system_folder(), Path(folder_paths.get_temp_directory())))
