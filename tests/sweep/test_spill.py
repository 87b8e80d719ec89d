"""Tensors whose memory is moved into files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from danlu.sweep.spill import LEAST, MARK, on_disk, spill

MANY = LEAST // 4 + 8


def is_mapped(tensor: torch.Tensor) -> bool:
    return hasattr(tensor, MARK)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.uint8])
def test_values_shape_and_holders_stay(tmp_path: Path, dtype: torch.dtype) -> None:
    with torch.inference_mode():
        tensor = torch.rand(2, 3, 128, MANY // 32).mul(200).to(dtype).movedim(1, -1)
        held, wanted, place = [tensor], tensor.clone(), tensor.data_ptr()
        spill({"samples": held, "else": 3}, tmp_path)
        assert tensor.data_ptr() != place and tensor.shape == wanted.shape and tensor.dtype == dtype
        assert torch.equal(tensor, wanted)
        tensor += 1  # of its own memory again, not into the file
        assert torch.equal(tensor, wanted + 1)


def test_a_view_that_was_there_before_keeps_its_values(tmp_path: Path) -> None:
    tensor = torch.rand(MANY)
    view, wanted = tensor[5:9], tensor[5:9].clone()
    spill([tensor], tmp_path)
    assert is_mapped(tensor) and torch.equal(view, wanted)


def test_small_ones_and_those_with_gradients_stay_in_memory(tmp_path: Path) -> None:
    small, trained = torch.rand(8), torch.rand(MANY, requires_grad=True)
    spill([small, (trained,)], tmp_path)
    assert not is_mapped(small) and not is_mapped(trained)


def test_what_lies_in_a_file_is_not_written_again(tmp_path: Path) -> None:
    tensor = torch.rand(MANY)
    spill([tensor, {"again": tensor}], tmp_path)
    place = tensor.data_ptr()
    spill([tensor], tmp_path)
    assert tensor.data_ptr() == place


@pytest.mark.skipif(os.name == "nt", reason="mapped files cannot be removed there")
def test_no_file_is_left(tmp_path: Path) -> None:
    tensors = [torch.rand(MANY) for _ in range(3)]
    spill(tensors, tmp_path)
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written_it_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    tensor = torch.rand(MANY)
    with pytest.raises(OSError):
        spill([tensor], tmp_path / "file")
    assert not is_mapped(tensor)


def test_where_nothing_can_be_mapped_it_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: object, **named: object) -> torch.Tensor:
        raise RuntimeError("unable to mmap 4194304 bytes: Cannot allocate memory (12)")

    monkeypatch.setattr(torch, "from_file", fails)
    tensor = torch.rand(MANY)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        spill([tensor], tmp_path)
    assert not is_mapped(tensor) and not list(tmp_path.iterdir())


def test_blocks_become_one(tmp_path: Path) -> None:
    blocks = [torch.rand(2, 3), torch.rand(4, 3)]
    wanted = torch.cat(blocks)
    assert torch.equal(on_disk(iter(blocks), tmp_path), wanted)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_given_back(tmp_path: Path) -> None:
    def anonymous() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

    held, before = [], anonymous()
    with torch.inference_mode():  # as the host runs nodes; outside, a view holds what it is a view of
        for _ in range(20):
            held.append(torch.rand(1, 3, 512, 1024).movedim(1, -1))
            spill(held, tmp_path)
    assert anonymous() - before < 3 * held[0].nbytes
