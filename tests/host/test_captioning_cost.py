"""Captioning through our node costs at most 1.05 times a bare loop of transformers, on the same model and pictures."""

from __future__ import annotations

from pathlib import Path

import folder_paths
import pytest

from danlu.bench.caption import compare

LIMIT = 1.05


def test_the_nodes_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In processor time, in turns."""
    for name in ("user_directory", "temp_directory"):  # which `compare` sets
        monkeypatch.setattr(folder_paths, name, getattr(folder_paths, name))
    found = compare(tmp_path, rounds=3)
    assert found["ratio"] <= LIMIT, found
