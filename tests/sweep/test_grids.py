"""Grids on disk."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from danlu.sweep import grids
from danlu.sweep.cells import Origin, Place
from danlu.sweep.grids import GridNote, GridStore, PlannedCell, grid_id

ID = "0123456789abcdef01234567"
CELL = PlannedCell("step 1 at 0.5, 一只猫", Place("step 1", 0.5, "一只猫", 7, None), Origin("run", 1), "signed")
NOTE = GridNote(
    "cats", "w", "12:5", 100.0, "1 cell", "shared", (CELL, PlannedCell("before", Place("before"), file="x"))
)


@pytest.fixture
def store(tmp_path: Path) -> GridStore:
    return GridStore(tmp_path / "grids")


def test_a_grid_is_read_as_it_was_written(store: GridStore) -> None:
    store.write(ID, NOTE)
    assert store.read(ID) == NOTE
    (head,) = store.heads()
    assert (head.id, head.name, head.workflow, head.node, head.count) == (ID, "cats", "w", "12:5", 1)


@pytest.mark.parametrize("id", ["", "..", "../grids/" + ID, ID.upper(), ID + "0", "*", ID + ".json"])
def test_other_ids_are_none(store: GridStore, id: str) -> None:
    store.write(ID, NOTE)
    assert store.read(id) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": [1]}', '{"cells": [], "name": "x", "odd": 1}'])
def test_a_damaged_note_is_no_grid(store: GridStore, text: str) -> None:
    store.write(ID, NOTE)
    (store.folder / f"{ID}.json").write_text(text)
    assert store.read(ID) is None and store.heads() == []


def test_marks_are_added_to(store: GridStore) -> None:
    store.write(ID, NOTE)
    store.pin(ID, 3, True)
    store.pin(ID, 1, True)
    store.keep(ID, 3, "danlu/cat.safetensors")
    marks = store.pin(ID, 3, False)
    assert marks == store.marks(ID)
    assert marks.pinned == (1,) and marks.kept == {"3": "danlu/cat.safetensors"}
    (store.folder / f"{ID}.marks.json").write_text('{"pinned": ["x"]}')
    assert store.marks(ID).pinned == ()


def test_the_oldest_are_forgotten_but_pinned_ones(store: GridStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grids, "MOST_GRIDS", 2)
    ids = [f"{number:024x}" for number in range(4)]
    for age, id in enumerate(ids):
        store.write(id, replace(NOTE, begun=float(age)))
        os.utime(store.folder / f"{id}.json", (age, age))
        if age == 0:
            store.pin(id, 0, True)
    store.write(ids[3], NOTE)
    assert {head.id for head in store.heads()} == {ids[0], ids[2], ids[3]}


def test_equal_graphs_are_one_grid() -> None:
    one = grid_id("w", "5", "cats", "shared", ["a", "b"])
    assert one == grid_id("w", "5", "cats", "shared", ["a", "b"])
    others = {grid_id("w", "6", "cats", "shared", ["a", "b"]), grid_id("w", "5", "cats", "shared", ["a"])}
    assert one not in others and len(others) == 2 and json.dumps(one)


def test_one_that_is_forgotten_meanwhile(store: GridStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write(ID, NOTE)
    gone = store.folder / f"{'0' * 24}.json"
    monkeypatch.setattr(GridStore, "_files", lambda self: [gone, self.folder / f"{ID}.json"])
    assert [head.id for head in store.heads()] == [ID]
