"""Where the host keeps datasets."""

from __future__ import annotations

from pathlib import Path

import folder_paths


def dataset_roots() -> tuple[Path, ...]:
    """Relative folders of datasets are looked up below these."""
    roots = [folder_paths.get_input_directory(), *folder_paths.get_folder_paths("datasets")]
    return tuple(Path(root) for root in roots)
