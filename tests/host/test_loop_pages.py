"""The labelled pictures of a loop, where they cannot be kept in a file."""

from __future__ import annotations

from pathlib import Path

import folder_paths
import numpy as np
import pytest
import torch

from danlu.host import loops
from danlu.sweep.cells import LoopPlan
from danlu.sweep.expand import Body
from danlu.sweep.store import CellStore


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> loops.RunningLoop:
    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path / "output"))
    monkeypatch.setattr(folder_paths, "get_system_user_directory", lambda name: str(tmp_path / name))
    monkeypatch.setattr(folder_paths, "get_temp_directory", lambda: str(tmp_path / "temp"))
    grey = np.full((300, 200, 3), 90, np.uint8)
    plan = LoopPlan("faces", (), ("before", "truth"), ("a",), "", {("before", "a"): grey, ("truth", "a"): grey})
    body = Body({"2": {"class_type": loops.GRID, "inputs": {}}}, "1", "2", {}, frozenset(), ())
    found = loops.RunningLoop(plan, body, CellStore(tmp_path / "cells", tmp_path / "output"), {})
    found.watch = loops.Watch(found, "")
    found.watch.begun(found.cells_now())
    return found


@pytest.mark.parametrize("fault", ["no folder", "no mapping"])
def test_pages_stay_in_memory(
    running: loops.RunningLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    wanted, entries = running.pages()
    assert len(entries) == 1 and wanted.shape[0] == 1 and wanted.shape[1] > loops.ROWS, "more than one block"
    if fault == "no folder":
        monkeypatch.setattr(loops, "_spilled", lambda: tmp_path / "output" / "danlu" / "faces" / entries[0]["filename"])
    else:

        def fails(*given: object, **named: object) -> torch.Tensor:
            raise RuntimeError("unable to mmap 4194304 bytes: Cannot allocate memory (12)")

        monkeypatch.setattr(torch, "from_file", fails)
    found, again = running.pages()
    assert torch.equal(found, wanted) and again == entries
