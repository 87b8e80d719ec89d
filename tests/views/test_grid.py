"""What pages are told of a grid, without a server."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from danlu.errors import DanluError
from danlu.sweep.cells import Origin, Place
from danlu.sweep.grids import GridNote, GridStore, PlannedCell
from danlu.sweep.store import CellStore
from danlu.views.errors import NotFound
from danlu.views.grid import Grids, Live

ID = "a" * 24
RUN = "b" * 24
SIZE = (96, 64)


def cell(checkpoint: str, strength: float | None, prompt: str, signature: str, **more: Any) -> PlannedCell:
    return PlannedCell(f"{checkpoint}, {prompt}", Place(checkpoint, strength, prompt, 5), signature=signature, **more)


CELLS = (
    cell("no LoRA", None, "a cat", "s0"),
    cell("step 10", 1.0, "a cat", "s1", origin=Origin(RUN, 10)),
    cell("step 10", 0.5, "a cat", "s2", origin=Origin(RUN, 10)),
    cell("file", 1.0, "<b>a dog</b>", "s3", origin=Origin(file="/loras/x.safetensors")),
    cell("step 20", 1.0, "a cat", ""),
    PlannedCell("before", Place("before", picture=1), file="danlu/cats/before.png"),
)


@pytest.fixture
def grids(tmp_path: Path) -> Grids:
    found = Grids(GridStore(tmp_path / "grids"), CellStore(tmp_path / "cells", tmp_path / "output"))
    found.store.write(ID, GridNote("cats", "w", "5", 1.0, "4 cells", "shared", CELLS))
    return found


def add(grids: Grids, signature: str, colour: str = "red", count: int = 1) -> Path:
    pictures = [Image.new("RGB", SIZE, colour)] * count
    return grids.cells.add("shared", signature, pictures, ("cats", signature), {}, "mine", 1.0).files[0]


def by_number(state: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {cell["n"]: cell for cell in state["cells"]}


def test_cells_come_as_they_are_made(grids: Grids) -> None:
    assert [cell["state"] for cell in grids.state(ID)["cells"]] == ["missing"] * 4
    file = add(grids, "s1")
    found = by_number(grids.state(ID))
    assert {n: cell["state"] for n, cell in found.items()} == {0: "missing", 1: "done", 2: "missing", 3: "missing"}
    (picture,) = found[1]["pictures"]
    assert picture["filename"] == file.name and picture["subfolder"] == "danlu/cats" and picture["size"] == SIZE
    assert found[1]["caption"] == "mine" and found[1]["kind"] == "run" and found[0]["kind"] == ""
    assert found[3]["kind"] == "file" and "/loras" not in json.dumps(grids.state(ID)), "pages learn no paths"


def test_axes_hold_each_value_once_and_numbers_in_order(grids: Grids) -> None:
    axes = {axis["name"]: axis["values"] for axis in grids.state(ID)["axes"]}
    assert axes["checkpoint"] == ["no LoRA", "step 10", "file", "before"], "a cell that is not made has no column"
    assert axes["strength"] == [0.5, 1.0] and axes["seed"] == [5] and axes["picture"] == [1]
    assert axes["prompt"] == ["a cat", "<b>a dog</b>"]


def test_the_cell_at_work_and_the_one_that_failed(grids: Grids) -> None:
    running = by_number(grids.state(ID, Live("p", 2, running=True)))
    assert running[2]["state"] == "now" and running[1]["state"] == "missing"
    failed = grids.state(ID, Live("p", 2, why="KSampler: out of memory"))
    assert by_number(failed)[2]["state"] == "failed" and by_number(failed)[2]["why"] == "KSampler: out of memory"
    assert by_number(grids.state(ID, Live("p", 2)))[2]["state"] == "missing", "it was stopped"
    add(grids, "s2")
    assert by_number(grids.state(ID, Live("p", 2, why="later")))[2]["state"] == "done"


def test_pictures_that_no_cell_makes(grids: Grids) -> None:
    assert 5 not in by_number(grids.state(ID))
    folder = grids.cells.output / "danlu" / "cats"
    folder.mkdir(parents=True)
    Image.new("RGB", SIZE).save(folder / "before.png")
    given = by_number(grids.state(ID))[5]
    assert given["state"] == "done" and given["kind"] == "given"


def test_a_picture_thrown_away_is_missing(grids: Grids) -> None:
    add(grids, "s1").unlink()
    assert by_number(grids.state(ID))[1]["state"] == "missing"
    with pytest.raises(NotFound):
        grids.small(ID, 1, 0, 64)


def test_small_pictures_come_in_few_sizes(grids: Grids) -> None:
    file = add(grids, "s1", count=2)
    for asked, side in ((1, 64), (64, 64), (65, 96), (5000, 96)):
        with Image.open(io.BytesIO(grids.small(ID, 1, 0, asked))) as picture:
            assert picture.format == "JPEG" and picture.size == (side, round(side * 64 / 96)), "never enlarged"
    assert grids.small(ID, 1, 0, 65) == grids.small(ID, 1, 0, 96)
    with pytest.raises(NotFound):
        grids.small(ID, 1, 2, 64)
    before = grids.small(ID, 1, 0, 64)
    Image.new("RGB", SIZE, "blue").save(file)
    os.utime(file, ns=(1, 1))
    assert grids.small(ID, 1, 0, 64) != before, "another picture is another small one"


def test_a_file_that_is_no_picture_is_told(grids: Grids) -> None:
    add(grids, "s1").write_bytes(b"<svg/>")
    assert by_number(grids.state(ID))[1]["state"] == "missing"
    with pytest.raises(DanluError, match="cannot be read"):
        grids.small(ID, 1, 0, 64)


def test_nothing_outside_of_the_pictures_folder(grids: Grids, tmp_path: Path) -> None:
    inner = grids.cells.output / "other"
    inner.mkdir(parents=True)
    Image.new("RGB", SIZE).save(inner / "private.png")
    file = add(grids, "s1")
    file.unlink()
    file.symlink_to(inner / "private.png")
    note = {"files": ["other/private.png"], "label": "", "seconds": 1}
    (grids.cells.folder / "shared" / "s2.json").write_text(json.dumps(note))
    (tmp_path / "output" / "danlu" / "cats" / "before.png").symlink_to(inner / "private.png")
    for number in (1, 2, 5):
        with pytest.raises(NotFound):
            grids.small(ID, number, 0, 64)
        assert by_number(grids.state(ID)).get(number, {"pictures": []})["pictures"] == []


def test_pins(grids: Grids) -> None:
    grids.pin(ID, 1, True)
    assert [cell["n"] for cell in grids.state(ID)["cells"] if cell["pinned"]] == [1]
    for number in (-1, 6):
        with pytest.raises(NotFound):
            grids.pin(ID, number, True)


def test_grids_of_a_node(grids: Grids) -> None:
    grids.store.write("c" * 24, GridNote("dogs", "w", "5", 2.0, "", "shared", CELLS))
    grids.store.write("d" * 24, GridNote("owls", "v", "5", 3.0, "", "shared", CELLS))
    assert [grid["name"] for grid in grids.listed()] == ["owls", "dogs", "cats"]
    assert [grid["name"] for grid in grids.listed("w", "5")] == ["dogs", "cats"]
    assert grids.listed("w", "6") == []
