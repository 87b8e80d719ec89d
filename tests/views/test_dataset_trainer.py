"""What the trainer will see is what Encode Dataset makes; faces are what Face Crops cuts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from danlu.captioning.trainer_view import Length
from danlu.dataset.joining import join
from danlu.dataset.model import Dataset
from danlu.doctor.faces.crops import CropOptions, crop_faces
from danlu.errors import DanluError
from danlu.tests.doctor.test_faces import FACE, PORTRAIT
from danlu.tests.views import dataset_sets as sets
from danlu.training.jobs import EncodeOptions, plan
from danlu.views.dataset import trainer
from danlu.views.dataset.faces import faces
from danlu.views.dataset.open import Opened, Store
from danlu.views.dataset.trainer import Training, trainer_view
from danlu.views.errors import NotFound

SIZES = ((1024, 1024), (1600, 900), (900, 1600), (700, 500), (3000, 400), (512, 640))


class Encoder:
    """As much of one as the plan asks for."""

    factor, frame_step, native_resolution, sees_pictures = 8, 0, 1024, False


@pytest.fixture(scope="module")
def cats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cats")
    for number, size in enumerate(SIZES):
        sets.picture(folder / f"{number}.png", number, size)
        (folder / f"{number}.txt").write_text(f"cat {number}")
    return folder


@pytest.fixture
def opened(cats: Path) -> Opened:
    return sets.opened(cats, trigger="ohwx")


def view(opened: Opened, **training: Any) -> dict[str, Any]:
    return trainer_view(opened, Training(**training), 0, 100, {})


@pytest.mark.parametrize(
    "training",
    [
        {},
        {"resolution": "512"},
        {"resolution": "512, 768,1024"},
        {"resolution": "768", "bucket_step": 32},
        {"resolution": "1024", "upscale_small": True},
    ],
)
def test_sizes_and_crops_are_those_of_encode(opened: Opened, training: dict[str, Any]) -> None:
    jobs, _ = plan(opened.dataset(), Encoder(), EncodeOptions(**training))  # type: ignore[arg-type]
    wanted: dict[str, list[tuple[int, int]]] = {}
    for job in jobs:
        wanted.setdefault(job.picture.name, []).append(job.fit.target)
    found = view(opened, **training)
    assert {i["name"]: [tuple(fit["bucket"]) for fit in i["fits"]] for i in found["items"]} == wanted
    counted = {tuple(bucket["size"]): bucket["pictures"] for bucket in found["buckets"]}
    every = [target for targets in wanted.values() for target in targets]
    assert counted == {target: every.count(target) for target in every}


def test_boxes_are_in_the_picture_and_of_the_buckets_shape(opened: Opened) -> None:
    for item in view(opened, resolution="512,1024")["items"]:
        height, width = opened.now[item["n"]].size
        for fit in item["fits"]:
            left, top, right, bottom = fit["box"]
            assert 0 <= left < right <= width and 0 <= top < bottom <= height
            shape = fit["bucket"][1] / fit["bucket"][0]
            assert (right - left) / (bottom - top) == pytest.approx(shape, rel=0.01)
            assert fit["lost"] == pytest.approx(1 - (right - left) * (bottom - top) / (height * width), abs=0.01)
            assert left + right == pytest.approx(width, abs=4) and top + bottom == pytest.approx(height, abs=4)


def test_texts_and_their_lengths(opened: Opened) -> None:
    def words(text: str) -> tuple[Length, ...]:
        return (Length("x", len(text.split()), 2, 75),)

    found = trainer_view(opened, Training(), 1, 2, {"words": words})
    assert [(item["n"], item["caption"]) for item in found["items"]] == [(1, "ohwx, cat 1"), (2, "ohwx, cat 2")]
    assert found["items"][0]["tokens"] == [{"tokenizer": "words", "tokens": 3, "chunks": 2, "most": 75}]
    assert found["total"] == len(SIZES)


def test_the_pictures_of_one_bucket(opened: Opened) -> None:
    every = view(opened, resolution="512")
    height, width = every["buckets"][0]["size"]
    found = trainer_view(opened, Training("512"), 0, 100, {}, f"{height}x{width}")
    wanted = [item["n"] for item in every["items"] if [height, width] in [fit["bucket"] for fit in item["fits"]]]
    assert [item["n"] for item in found["items"]] == wanted and found["total"] == every["buckets"][0]["pictures"]
    assert trainer_view(opened, Training("512"), 0, 100, {}, "1x1")["items"] == []


def test_the_place_of_one_picture(opened: Opened) -> None:
    opened.dropped = frozenset({1})
    place = opened.place(2)
    assert [item["n"] for item in trainer_view(opened, Training(), place, 1, {})["items"]] == [2]
    with pytest.raises(NotFound, match="dropped"):
        opened.place(1)


def test_roles_are_looked_at_apart_and_weights_are_repeats(cats: Path, tmp_path: Path) -> None:
    small = sets.folder_of(tmp_path / "small", {"1": "x"})

    def part(folder: Path) -> Dataset:
        return sets.opened(folder).dataset()

    both = Store().put(
        join([part(cats), part(small), part(small)], [1.0, 3.0, 1.0], ["train", "train", "validation"], [])
    )
    found = view(both)
    assert found["resolutions"]["validation"] == [64] != found["resolutions"]["train"]
    epochs = {(b["role"], tuple(b["size"])): b["epoch"] for b in found["buckets"]}
    assert epochs["train", (64, 64)] == 3 and epochs["validation", (64, 64)] == 1


def test_a_picture_that_is_dropped_meanwhile(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    of_role = trainer._of

    def dropping(*given: Any) -> Any:
        opened.dropped |= {0}
        return of_role(*given)

    monkeypatch.setattr(trainer, "_of", dropping)
    assert view(opened)["total"] == len(SIZES) and view(opened)["total"] == len(SIZES) - 1


def test_a_resolution_that_is_none(opened: Opened) -> None:
    with pytest.raises(DanluError, match="resolution"):
        view(opened, resolution="large")


def test_2000_pictures_are_sized_quickly() -> None:
    opened = Store().put(sets.many(2000))
    view(opened)
    start = time.thread_time()
    view(opened)
    assert time.thread_time() - start < 0.5


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    PORTRAIT.save(folder / "1.jpg", quality=95)
    sets.picture(folder / "2.png", 3, (360, 360))
    return folder


def test_faces_and_crops_are_those_of_the_node(people: Path, tmp_path: Path) -> None:
    opened = sets.opened(people)
    found = faces(opened, 0, "photo", 0.5, 64, 1)
    (face,) = found["faces"]
    assert all(abs(a - b) <= 6 for a, b in zip(face, FACE, strict=True)) and found["size"] == list(opened.now[0].size)
    cut = crop_faces(opened.dataset(), CropOptions(tmp_path, min_size=64), lambda s: [tuple(face)], lambda *_: None)
    assert found["crops"] == [{"box": list(cut.crops[0].box), "large": True}]
    assert faces(opened, 0, "photo", 0.5, 2000, 1)["crops"][0]["large"] is False
    assert faces(opened, 1, "photo", 0.5, 64, 1)["faces"] == []
    assert faces(opened, 0, "none", 0.5, 64, 1)["faces"] == []


def test_pairs_are_not_cropped_and_say_so(people: Path) -> None:
    found = faces(sets.opened(people, role="validation"), 0, "photo", 0.5, 64, 1)
    assert found["faces"] and found["crops"] == [] and "validation" in found["why_not"]
    opened = sets.opened(people)
    for wrong in ((0, "dog", 0.5), (0, "photo", 9.0), (0, "photo", float("nan"))):
        with pytest.raises(DanluError):
            faces(opened, *wrong, 64, 1)
    with pytest.raises(NotFound):
        faces(opened, 7, "photo", 0.5, 64, 1)
