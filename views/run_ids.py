"""Which run an id means, that came from a page: nothing but a real folder directly below the folder of runs."""

from __future__ import annotations

import re
from pathlib import Path

from ..training.runs.store import RunStore
from .errors import NotFound

ID = re.compile(r"[0-9a-f]{24}")
"""What `training.runs.store.run_id` makes."""


def run_of(runs: Path, run: str) -> RunStore:
    """Raises NotFound for any text that is no id, and for ids of what is no run or a link to one."""
    folder = runs / run
    if not ID.fullmatch(run) or folder.is_symlink() or not (folder / "manifest.json").is_file():
        raise NotFound("There is no such run (any more).")
    return RunStore(folder)
