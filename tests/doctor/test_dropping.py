"""What is left out of the dataset that is handed on; files stay."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from danlu.dataset.model import Dataset
from danlu.doctor.diagnosis import DROPS, dropped
from danlu.doctor.report import text
from danlu.errors import DanluError

from .sets import dataset_of, diagnosed, joined, scene, scenes


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """1 = again (bytes), 2 ~ lighter, 3 without a caption; joined: blue (empty)."""
    pictures = {**scenes(4), "lighter.png": ImageEnhance.Brightness(scene(2)).enhance(1.03)}
    made = dataset_of(tmp_path / "a", pictures, lambda name: "" if name == "3.png" else f"a thing {name[0]}")
    shutil.copy(tmp_path / "a" / "1.png", tmp_path / "a" / "again.png")
    again = replace(made.pictures[0], path=tmp_path / "a" / "again.png", name="again.png", body="thing")
    blue = dataset_of(tmp_path / "b", {"blue.png": Image.new("RGB", (160, 128), "blue"), "9.png": scene(9)})
    return joined(replace(made, pictures=(*made.pictures, again)), blue)


def names(dataset: Dataset) -> list[str]:
    return [picture.name for part in dataset.parts() for picture in part.pictures]


ALL = ["1.png", "2.png", "3.png", "4.png", "lighter.png", "again.png", "blue.png", "9.png"]


@pytest.mark.parametrize(
    ("what", "gone"),
    [
        ("none", set()),
        ("exact doubles", {"again.png"}),
        ("all doubles", {"again.png", "lighter.png"}),
        ("everything flagged", {"again.png", "lighter.png", "blue.png"}),
    ],
)
def test_what_is_left_out(dataset: Dataset, what: str, gone: set[str]) -> None:
    assert what in DROPS
    diagnosis = diagnosed(dataset)
    kept, out = dropped(diagnosis, what)
    assert names(kept) == [name for name in ALL if name not in gone]
    assert {subject.picture.name for subject in out} == gone
    assert all(picture.path.exists() for part in dataset.parts() for picture in part.pictures)
    assert [part.trigger for part in kept.parts()] == ["zorp", "zorp"]
    assert ("Left out of the dataset" in text(diagnosis, out)) is bool(gone)
    if what == "none":
        assert kept is dataset


def test_something_has_to_be_left(tmp_path: Path) -> None:
    blue = dataset_of(tmp_path, {"blue.png": Image.new("RGB", (160, 128), "blue")})
    with pytest.raises(DanluError, match="no picture to train on would be left"):
        dropped(diagnosed(blue), "everything flagged")


def test_pictures_for_regularisation_have_doubles_too(tmp_path: Path) -> None:
    again = dataset_of(tmp_path / "a", {**scenes(2), "again.bmp": scene(1)}, role="regularisation")
    kept, out = dropped(diagnosed(again), "exact doubles")
    assert names(kept) == ["2.png", "again.bmp"] and len(out) == 1
    blue = dataset_of(tmp_path / "b", {"blue.png": Image.new("RGB", (160, 128), "blue")}, role="validation")
    with pytest.raises(DanluError, match="no picture would be left"):
        dropped(diagnosed(blue), "everything flagged")


def test_words_that_are_none_are_refused(dataset: Dataset) -> None:
    with pytest.raises(DanluError, match="drop: there is no 'half'"):
        dropped(diagnosed(dataset), "half")
    with pytest.raises(DanluError, match="strictness: there is no 'cruel'"):
        diagnosed(dataset, strictness="cruel")
