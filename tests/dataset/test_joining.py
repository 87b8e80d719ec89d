"""Several datasets as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from danlu.dataset.captions import with_trigger
from danlu.dataset.joining import by_socket, described, join, labels, subject, whole_repeats
from danlu.dataset.model import Dataset, Picture, Report
from danlu.errors import DanluError


def part(
    name: str, repeats: tuple[int, ...] = (1, 1), role: str = "train", trigger: str = "ohwx", weight: float = 1.0
) -> Dataset:
    pictures = tuple(
        Picture(Path(f"/data/{name}/{i}.png"), f"{i}.png", (64, 64), with_trigger("on a hill", trigger), count)
        for i, count in enumerate(repeats)
    )
    report = Report(images=len(pictures), repeats=repeats, trigger=trigger)
    return Dataset(Path(f"/data/{name}"), pictures, trigger, report, role, weight=weight)


def repeats(dataset: Dataset) -> list[list[int]]:
    return [[picture.repeats for picture in one.pictures] for one in whole_repeats(dataset)[0].parts()]


def test_parts_stay_what_they_are() -> None:
    joined = join([part("a"), part("b", role="validation", trigger="")])
    assert [(one.folder.name, one.role, one.trigger) for one in joined.parts()] == [
        ("a", "train", "ohwx"),
        ("b", "validation", ""),
    ]
    validation = joined.of_role("validation")
    assert validation is not None and [one.folder.name for one in validation.parts()] == ["b"]
    assert joined.of_role("regularisation") is None


def test_joined_again() -> None:
    joined = join([join([part("a"), part("b")], weights=[1, 2]), part("c")], weights=[2], roles=["", "regularisation"])
    found = [(one.folder.name, one.weight, one.role) for one in joined.parts()]
    assert found == [("a", 2, "train"), ("b", 4, "train"), ("c", 1, "regularisation")]
    assert all(not one.joined for one in joined.parts())


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((1, 1), [[1, 1], [1, 1]]),
        ((3, 3), [[1, 1], [1, 1]]),
        ((1, 2), [[1, 1], [2, 2]]),
        ((1, 0.5), [[2, 2], [1, 1]]),
        ((0.3, 1), [[3, 3], [10, 10]]),
        ((1, 1 / 3), [[3, 3], [1, 1]]),
    ],
)
def test_weights_become_whole_repeats(weights: tuple[float, ...], expected: list[list[int]]) -> None:
    assert repeats(join([part("a"), part("b")], weights)) == expected


def test_weights_multiply_repeats() -> None:
    joined = join([part("a", (10, 4)), part("b", (1,), weight=0.5)])
    assert repeats(joined) == [[20, 8], [1]]
    (note,) = whole_repeats(joined)[1]
    assert note == "Weights: a 97 %, b 3 % of an epoch, which is 2 times as long"


@pytest.mark.parametrize("weight", [0.37, 0.9, 1.41, 2.718, 33.3, 0.0123])
def test_ratios_are_nearly_right(weight: float) -> None:
    (first, _), (second, _) = repeats(join([part("a"), part("b")], (1, weight)))
    assert second / first == pytest.approx(weight, rel=0.021)


def test_a_ratio_that_cannot_be_right_is_told() -> None:
    joined = join([part("a"), part("b")], (1, 0.001))
    assert repeats(joined) == [[100, 100], [1, 1]]
    assert "% off" in whole_repeats(joined)[1][0]


def test_a_trigger_for_each_part() -> None:
    joined = join([part("a"), part("b", trigger="")], triggers=["dantong", " blue mug "])
    captions = [one.pictures[0].caption for one in joined.parts()]
    assert captions == ["dantong, on a hill", "blue mug, on a hill"]
    assert [one.trigger for one in joined.parts()] == ["dantong", "blue mug"]
    kept = join([part("a"), part("b")], triggers=["", "mug"])
    assert [one.trigger for one in kept.parts()] == ["ohwx", "mug"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": [1, 2, 3]}, "'weights' has 3 values, but the last wire is at socket 2"),
        ({"weights": [0]}, "'weights' gives a weight of 0.*take its wire off"),
        ({"weights": [-1]}, "'weights'"),
        ({"weights": [float("nan")]}, "'weights'"),
        ({"weights": [float("inf")]}, "'weights'"),
        ({"roles": ["test"]}, "'roles' holds 'test'.*regularisation"),
        ({"triggers": ["a", "b", "c"]}, "'triggers' has 3 values"),
    ],
)
def test_values_that_mean_nothing(options: dict[str, list[float | str]], message: str) -> None:
    with pytest.raises(DanluError, match=message):
        join([part("a"), part("b")], **options)  # type: ignore[arg-type]


def test_nothing_to_join() -> None:
    with pytest.raises(DanluError, match="Wire at least one"):
        join([])


def test_what_the_node_says() -> None:
    text = described(join([part("a"), part("b", role="regularisation"), part("c")], weights=[1, 1, 3]))
    assert text.splitlines() == [
        "3 datasets, 6 images",
        "a (train): 2 images, 0 captions, repeats 1, trigger ohwx",
        "b (regularisation): 2 images, 0 captions, repeats 1, trigger ohwx",
        "c (train, weight 3): 2 images, 0 captions, repeats 1, trigger ohwx",
        "Weights: a 25 %, c 75 % of an epoch",
    ]
    assert "nothing would be trained" in described(join([part("a", role="validation")]))


def test_parts_of_one_name_are_told_apart() -> None:
    parts = [part("me/cats"), part("you/cats"), part("dogs"), part("you/cats")]
    assert labels(parts) == ["me/cats", "you/cats", "dogs", "you/cats (2)"]
    assert "you/cats (2) (train)" in described(join(parts))


def test_a_muted_loader_keeps_its_place() -> None:
    sockets = {"dataset10": part("c"), "dataset2": part("b"), "dataset1": None, "dataset0": part("a")}
    datasets = by_socket(sockets, "dataset")
    assert [one.folder.name if one else "" for one in datasets] == ["a", "", "b", *[""] * 7, "c"]
    joined = join(datasets[:3], [1, 5, 2], ["", "validation", "regularisation"], ["", "muted", "mug"])
    found = [(one.folder.name, one.weight, one.role, one.trigger) for one in joined.parts()]
    assert found == [("a", 1, "train", "ohwx"), ("b", 2, "regularisation", "mug")]
    with pytest.raises(DanluError, match="Wire at least one"):
        join(by_socket({"dataset0": None}, "dataset"))


def test_a_trigger_is_not_taught_to_regularisation() -> None:
    """A dataset that was joined before may hold both."""
    inner = join([part("a", trigger=""), part("b", trigger="", role="regularisation")])
    joined = join([inner, part("c", trigger="")], roles=["", "regularisation"], triggers=["ohwx", "ohwx"])
    captions = {one.folder.name: (one.trigger, one.pictures[0].caption) for one in joined.parts()}
    assert captions == {"a": ("ohwx", "ohwx, on a hill"), "b": ("", "on a hill"), "c": ("", "on a hill")}
    again = join([part("d", role="regularisation", trigger="old")], triggers=["new"])
    assert again.pictures[0].caption == "new, on a hill", "where there is one, it is replaced"


def test_parts_without_pictures_have_no_role() -> None:
    joined = join([part("a", ()), part("b"), part("c", (), role="validation")])
    trained = joined.of_role("train")
    assert trained is not None and [one.folder.name for one in trained.parts()] == ["b"]
    assert joined.of_role("validation") is None


def test_the_subject_is_what_is_trained() -> None:
    mug = replace(part("mug", trigger="sks"), class_word="mug")
    joined = join([part("a", role="regularisation", trigger="never"), part("b", trigger=""), part("c"), mug])
    assert subject(joined) == ("ohwx", "")
    assert subject(joined, "sks") == ("sks", "mug")
    assert subject(joined, "typed") == ("typed", "")
    assert subject(replace(mug, role="validation")) == ("sks", "mug"), "nothing is trained: what there is"
