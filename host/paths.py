"""Where Danlu may read and write: folders of the host, and what must stay inside them."""

from __future__ import annotations

from pathlib import Path

import folder_paths

from ..training.runs.labels import labels

ALL_RUNS = "all runs"
NO_RUNS = "no runs yet"


def system_folder() -> Path:
    """`user/__danlu`: kept by the host, not reachable over HTTP."""
    return Path(folder_paths.get_system_user_directory("danlu"))


def runs_folder() -> Path:
    return system_folder() / "runs"


def loras_folder() -> Path:
    """The first folder of the host's LoRA loaders' lists."""
    return Path(folder_paths.get_folder_paths("loras")[0])


def lora_stamp(name: str | None) -> tuple[int, int] | None:
    """Time and size of a file that the LoRA loaders list as `name`; None where there is none."""
    path = folder_paths.get_full_path("loras", name) if name else None
    if path is None:
        return None
    stat = Path(path).stat()
    return stat.st_mtime_ns, stat.st_size


def lora_files() -> list[str]:
    """What the host's LoRA loaders list."""
    return list(folder_paths.get_filename_list("loras"))


def run_labels() -> list[str]:
    """The runs to choose from, the one last used first."""
    return labels(runs_folder())
