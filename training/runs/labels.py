"""What runs are called. Light: nodes need it when the pack is loaded."""

from __future__ import annotations

import json
import math
from pathlib import Path

SHORT_ID = 8


def name_and_use(folder: Path) -> tuple[str, float]:
    """(what the user calls the run in `folder`, when it was last used in seconds since the epoch)"""
    try:
        found = json.loads((folder / "name.json").read_text(encoding="utf-8"))
        name, used = str(found["name"]), float(found["used"])
        return name, used if math.isfinite(used) else 0.0
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return folder.name, 0.0


def run_folders(runs: Path) -> list[Path]:
    """Every run below `runs`, the one last used first."""
    found = [manifest.parent for manifest in runs.glob("*/manifest.json")]
    return sorted(found, key=lambda folder: name_and_use(folder)[1], reverse=True)


def label(folder: Path) -> str:
    """ "my_lora (3f29c1aa)": what a user chooses it by."""
    return f"{name_and_use(folder)[0]} ({folder.name[:SHORT_ID]})"


def labels(runs: Path) -> list[str]:
    return [label(folder) for folder in run_folders(runs)]
