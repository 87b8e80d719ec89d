"""Captioning through our node costs at most 1.05 times a bare loop of transformers, on the same model and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
import pytest

from danlu.bench.caption import compare

LIMIT = 1.05
TRIES = 4


def test_the_nodes_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In processor time, in turns; again where something else was at work: that only ever adds."""
    for name in ("user_directory", "temp_directory"):  # which `compare` sets
        monkeypatch.setattr(folder_paths, name, getattr(folder_paths, name))
    found: list[dict[str, Any]] = []
    for turn in range(TRIES):
        folder = tmp_path / str(turn)
        folder.mkdir()
        found.append(compare(folder, rounds=3))
        if found[-1]["ratio"] <= LIMIT:
            break
    assert min(each["ratio"] for each in found) <= LIMIT, found
