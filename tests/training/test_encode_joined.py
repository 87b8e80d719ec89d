"""Joined datasets: each part in its role, with its own trigger and weight."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from danlu.dataset.joining import join
from danlu.dataset.model import Dataset
from danlu.errors import DanluError
from danlu.training.data import TrainingData
from danlu.training.encode import EncodeOptions, encode_dataset
from danlu.training.reporter import Reporter

from .test_encode import FakeEncoder, dataset, picture


def part(folder: Path, name: str, seed: int, trigger: str, text: str, **others: str) -> Dataset:
    """All pictures have the same name, as in real life."""
    picture(folder / name, "1.png", seed=seed).with_suffix(".txt").write_text(text)
    return dataset(folder / name, trigger, **others)


def encoded(folder: Path, whole: Dataset, **wired: Dataset) -> TrainingData:
    return encode_dataset(whole, FakeEncoder(), folder / "cache", EncodeOptions(), Reporter(), **wired)


def test_each_part_in_its_role(tmp_path: Path) -> None:
    whole = join(
        [
            part(tmp_path, "cats", 1, "ohwx", "[trigger] sits", class_word="cat"),
            part(tmp_path, "dogs", 2, "sks", "[trigger] runs", class_word="dog"),
            part(tmp_path, "others", 3, "", "a horse", role="regularisation"),
            part(tmp_path, "unseen", 4, "", "asleep", role="validation"),
        ],
        weights=[1, 2],
    )
    data = encoded(tmp_path, whole)
    found = {(e.name, e.role, e.captions, e.class_captions, e.repeats) for e in data.entries}
    assert found == {
        ("cats/1.png", "train", ("ohwx sits",), ("cat sits",), 1),
        ("dogs/1.png", "train", ("sks runs",), ("dog runs",), 2),
        ("1.png", "regularisation", ("a horse",), (), 1),
        ("1.png", "validation", ("asleep",), (), 1),
    }
    assert (data.image_count, data.samples_per_epoch, data.trigger) == (2, 3, "ohwx")
    assert "Weights: cats 33 %, dogs 67 % of an epoch" in data.notes
    assert "Regularisation: 1 image" in data.notes and "Validation: 1 image" in data.notes
    unsure = (
        "Validation: No trigger for unseen: what is trained has several (ohwx, sks). Give it the one of its subject"
    )
    assert unsure in data.notes


def test_wired_ones_come_on_top(tmp_path: Path) -> None:
    whole = join([part(tmp_path, "a", 1, "ohwx", "a"), part(tmp_path, "b", 2, "", "b", role="regularisation")])
    data = encoded(
        tmp_path,
        whole,
        regularisation=join([part(tmp_path, "c", 3, "", "c"), part(tmp_path, "d", 4, "", "d")]),
        validation=part(tmp_path, "e", 5, "", "e"),
    )
    assert {entry.captions[0] for entry in data.regularisation} == {"b", "c", "d"}
    assert {entry.captions[0] for entry in data.validation} == {"ohwx, e"}
    assert "Regularisation: 2 images" in data.notes


def test_the_first_part_may_have_another_role(tmp_path: Path) -> None:
    parts = [part(tmp_path, "b", 2, "", "b", role="regularisation"), part(tmp_path, "a", 1, "ohwx", "a")]
    assert encoded(tmp_path, join(parts)).trigger == "ohwx"


def test_validation_gets_a_trigger_that_all_parts_share(tmp_path: Path) -> None:
    """Two folders of one subject, and pictures to check it by: of this one and, with a trigger of its own, another."""
    trained = [part(tmp_path, name, n, "ohwx", "near", class_word="cat") for n, name in enumerate(["a", "b"])]
    unseen = [
        part(tmp_path, "c", 3, "", "asleep", role="validation"),
        part(tmp_path, "d", 4, "sks", "awake", role="validation", class_word="dog"),
    ]
    data = encoded(tmp_path, join([*trained, *unseen]))
    found = {(entry.captions, entry.class_captions) for entry in data.validation}
    assert found == {(("ohwx, asleep",), ("cat, asleep",)), (("sks, awake",), ("dog, awake",))}
    assert not any("No trigger" in note for note in data.notes)
    data = encoded(tmp_path, join([trained[0], replace(trained[1], class_word="kitten"), unseen[0]]))
    assert {(entry.captions, entry.class_captions) for entry in data.validation} == {(("ohwx, asleep",), ("asleep",))}


def test_parts_without_pictures_are_left_out(tmp_path: Path) -> None:
    trained = part(tmp_path, "a", 1, "ohwx", "a")
    empty = [replace(part(tmp_path, role, 2, "", "b", role=role), pictures=()) for role in ("validation", "train")]
    assert encoded(tmp_path, join([*empty, trained])).image_count == 1
    with pytest.raises(DanluError, match="no picture to train on"):
        encoded(tmp_path, join(empty))


def test_nothing_to_train(tmp_path: Path) -> None:
    parts = [part(tmp_path, "a", 1, "", "a", role="regularisation"), part(tmp_path, "b", 2, "", "b", role="validation")]
    with pytest.raises(DanluError, match="nothing would be trained"):
        encoded(tmp_path, join(parts))


def test_one_resolution_for_all_parts(tmp_path: Path) -> None:
    """`auto` looks at all that is trained: parts of one dataset must not come out at different sizes."""
    picture(tmp_path / "small", "a.png", (32, 32), seed=1)
    picture(tmp_path / "large", "b.png", (256, 256), seed=2)
    data = encoded(tmp_path, join([dataset(tmp_path / "small"), dataset(tmp_path / "large")]))
    notes = [note for note in data.notes if note.startswith("Resolution auto")]
    assert len(notes) == 1 and len(data.trained) == 2


def test_warnings_say_which_part(tmp_path: Path) -> None:
    first = part(tmp_path, "a", 1, "ohwx", "a")
    picture(tmp_path / "b", "1.png", seed=2)
    data = encoded(tmp_path, join([first, dataset(tmp_path / "b")]))
    assert any(note.startswith("b: 1 image without a caption") for note in data.notes)


def test_a_weight_alone_changes_nothing(tmp_path: Path) -> None:
    one = part(tmp_path, "a", 1, "ohwx", "a")
    assert encoded(tmp_path, join([one], weights=[3])).fingerprint == encoded(tmp_path, one).fingerprint
