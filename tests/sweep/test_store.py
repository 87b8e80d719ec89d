"""Cells on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from danlu.errors import DanluError
from danlu.sweep.cells import Cell
from danlu.sweep.store import CellStore, note_of, plain_name


@pytest.fixture
def store(tmp_path: Path) -> CellStore:
    return CellStore(tmp_path / "cells", tmp_path / "output")


def picture(colour: str = "red") -> Image.Image:
    return Image.new("RGB", (8, 8), colour)


def test_a_cell_is_found_again(store: CellStore) -> None:
    done = store.add("shared", "abcdef0123", [picture()], ("my run", "step 1, a cat"), {}, "mine", 2.5)
    assert store.find("shared", "abcdef0123") == done
    assert done.files == (store.output / "danlu" / "my_run" / "step_1_a_cat_abcdef01.png",)
    assert done.label == "mine" and done.seconds == 2.5
    assert store.find("shared", "other") is None and store.find("else", "abcdef0123") is None


def test_a_picture_that_was_removed_makes_it_missing(store: CellStore) -> None:
    done = store.add("shared", "a", [picture(), picture("blue")], ("x", "y"), {})
    assert len(done.files) == 2
    done.files[1].unlink()
    assert store.find("shared", "a") is None


def test_the_pixels_are_kept_exactly(store: CellStore) -> None:
    drawn = Image.effect_noise((16, 16), 80).convert("RGB")
    (file,) = store.add("shared", "a", [drawn], ("x", "y"), {"workflow": '{"id": "ä"}'}).files
    with Image.open(file) as found:
        assert found.tobytes() == drawn.tobytes()
        assert json.loads(found.info["workflow"]) == {"id": "ä"}


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"files": []}', '{"files": ["../../secret.png"]}'])
def test_a_damaged_note_is_no_cell(store: CellStore, text: str) -> None:
    store.add("shared", "a", [picture()], ("x", "y"), {})
    (store.output.parent.parent / "secret.png").write_bytes(b"x")
    (store.folder / "shared" / "a.json").write_text(text)
    assert store.find("shared", "a") is None


def test_a_note_names_nothing_outside_of_the_output_folder(store: CellStore) -> None:
    store.output.mkdir()
    (store.output.parent / "secret.png").write_bytes(b"x")
    note = {"files": ["../secret.png"], "label": "", "seconds": 1}
    (store.folder / "shared").mkdir(parents=True)
    (store.folder / "shared" / "a.json").write_text(json.dumps(note))
    assert store.find("shared", "a") is None


def test_the_usual_time(store: CellStore) -> None:
    assert store.usual_seconds("shared") is None
    for number, seconds in enumerate((1.0, 2.0, 90.0)):
        store.add("shared", str(number), [picture()], ("x", str(number)), {}, seconds=seconds)
    assert store.usual_seconds("shared") == 2.0


def test_a_folder_that_cannot_be_written_to_is_told(store: CellStore) -> None:
    store.output.mkdir()
    (store.output / "danlu").write_text("a file where a folder should be")
    with pytest.raises(DanluError, match="could not be written"):
        store.add("shared", "a", [picture()], ("x", "y"), {})


def test_names_are_plain() -> None:
    assert plain_name("../../etc/passwd") == "etc_passwd"
    assert plain_name("step 1, a: cat?") == "step_1_a_cat"
    assert plain_name("红发少女") == "红发少女"
    assert len(plain_name("猫" * 100).encode()) <= 80
    assert plain_name("...") == "cells"


def test_a_picture_says_which_cell_it_is() -> None:
    assert json.loads(note_of(Cell("step 1", "一只猫", ()))["danlu_cell"]) == {"column": "step 1", "row": "一只猫"}
