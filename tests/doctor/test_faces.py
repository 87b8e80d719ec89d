"""Heads cut out of pictures.

`collins.jpg` is a part of NASA's portrait of the astronaut Eileen Collins (Great Images in NASA, in the public domain),
as scikit-image carries it (`skimage.data.astronaut`).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from danlu.dataset.model import Clip, Dataset
from danlu.doctor.faces import detect
from danlu.doctor.faces.cascade import frontal_faces
from danlu.doctor.faces.crops import around, parse_numbers
from danlu.doctor.faces.cutting import Cut, Faces, cut_faces
from danlu.doctor.faces.sheet import CELL, GAP
from danlu.errors import DanluError
from danlu.training.reporter import Reporter

from .sets import dataset_of, joined, scene

PORTRAIT = Image.open(Path(__file__).with_name("collins.jpg")).convert("RGB")
FACE = (116, 65, 98, 98)
"""Where OpenCV's own detector finds it."""


def save_people(folder: Path) -> Dataset:
    """1: the portrait, 2: no face, 3: the portrait mirrored and enlarged, 4: small on a large ground."""
    ground = scene(8, (900, 700)).point(lambda value: value // 4 + 90)
    ground.paste(PORTRAIT, (500, 300))
    pictures = {
        "1.jpg": PORTRAIT,
        "2.jpg": scene(2, (360, 360)),
        "3.jpg": ImageOps.mirror(PORTRAIT).resize((540, 540)),
        "4.jpg": ground,
    }
    return dataset_of(folder, pictures, quality=95)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Searched once: what was found in a file is remembered."""
    return save_people(tmp_path_factory.mktemp("people"))


def worded(dataset: Dataset, trigger: str, **bodies: str) -> Dataset:
    """`bodies` by the names' first letters; none for the others."""
    pictures = [replace(p, body=bodies.get(f"of_{p.name[0]}", "")) for p in dataset.pictures]
    return replace(dataset, pictures=tuple(pictures), trigger=trigger)


def cut(dataset: Dataset, folder: Path, **faces: Any) -> Cut:
    return cut_faces(dataset, Faces(**{"min_size": 64, **faces}), folder / "crops", Reporter())


def crops_of(found: Cut) -> list[Any]:
    return [picture for part in found.crops.parts() for picture in part.pictures]


def size(picture: Any) -> tuple[int, int]:
    with Image.open(picture.path) as image:
        return image.height, image.width


def near(one: tuple[int, ...], other: tuple[int, ...], by: float) -> bool:
    return all(abs(a - b) <= by for a, b in zip(one, other, strict=True))


def test_a_real_face_is_found_where_it_is() -> None:
    (box,) = frontal_faces().find(PORTRAIT.convert("L"), 40)
    assert near(box, FACE, 6)
    turned = PORTRAIT.transpose(Image.Transpose.FLIP_TOP_BOTTOM).convert("L")
    assert frontal_faces().find(turned, 40) == [], "upside down it is none"


def test_no_face_in_noise_and_none_below_the_least_size() -> None:
    for seed in range(4):
        assert frontal_faces().find(scene(seed, (240, 240)).convert("L"), 24) == []
    assert frontal_faces().find(PORTRAIT.convert("L"), 150) == []


def test_crops_are_joined_as_a_second_set(people: Dataset, tmp_path: Path) -> None:
    dataset = people
    found = cut(dataset, tmp_path, weight=0.5)
    whole, heads = found.dataset.parts()
    assert whole.pictures == dataset.pictures
    assert len(heads.pictures) == 3 and heads.weight == 0.5 and heads.trigger == "zorp" and heads.role == "train"
    assert all(size(picture) == picture.size for picture in heads.pictures)
    assert {picture.caption for picture in heads.pictures} == {"close-up portrait of zorp"}
    assert found.crops.pictures == heads.pictures and not found.crops.joined
    assert "3 crops of heads" in found.report and "No face found: #2 2.jpg" in found.report
    # The same again: nothing is written.
    times = {p.path: p.path.stat().st_mtime_ns for p in heads.pictures}
    assert {p.path: p.path.stat().st_mtime_ns for p in crops_of(cut(dataset, tmp_path))} == times


def test_a_crop_shows_the_face_whole(people: Dataset, tmp_path: Path) -> None:
    crop = crops_of(cut(people, tmp_path))[0]
    left, top, width, height = FACE
    wanted = PORTRAIT.crop((left, top, left + width, top + height))
    with Image.open(crop.path) as image:
        (box,) = frontal_faces().find(image.convert("L"), 40)
        shown = image.convert("RGB").crop((box[0], box[1], box[0] + box[2], box[1] + box[3])).resize(wanted.size)
    assert abs(np.asarray(shown, dtype=int) - np.asarray(wanted)).mean() < 20
    assert crop.size[0] == crop.size[1] == pytest.approx(2 * width, rel=0.1)


@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_margin(people: Dataset, tmp_path: Path, margin: float) -> None:
    crop = crops_of(cut(people, tmp_path, margin=margin))[0]
    assert crop.size[0] == pytest.approx((1 + 2 * margin) * FACE[2], rel=0.1)


@pytest.mark.parametrize("face", [(0, 0, 80, 80), (270, 270, 90, 90), (100, 5, 150, 150), (10, 10, 340, 340)])
def test_crops_lie_inside_and_hold_the_face(face: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = around(face, (360, 360), 0.5)
    assert 0 <= left <= face[0] and 0 <= top <= face[1] and right <= 360 and bottom <= 360
    assert right >= face[0] + face[2] and bottom >= face[1] + face[3] and right - left == bottom - top


def test_a_long_picture_gives_the_largest_crop_it_has() -> None:
    left, top, right, bottom = around((40, 100, 60, 60), (600, 120), 1.0)
    assert (left, right) == (0, 120) and bottom - top == 180 and top <= 100 and bottom >= 160


def test_small_faces_are_left_out(people: Dataset, tmp_path: Path) -> None:
    found = cut(people, tmp_path, min_size=250)
    assert len(crops_of(found)) == 1 and "Too small for 'min_size': #1 1.jpg, #4 4.jpg" in found.report
    with pytest.raises(DanluError, match="No crop is left"):
        cut(people, tmp_path, min_size=400)


@pytest.mark.parametrize(("drop", "left"), [("", [1, 2, 3]), ("2", [1, 3]), ("#1, 3", [2]), ("2-3", [1])])
def test_bad_crops_are_dropped_by_number(people: Dataset, tmp_path: Path, drop: str, left: list[int]) -> None:
    every = crops_of(cut(people, tmp_path))
    found = cut(people, tmp_path, drop=drop)
    assert crops_of(found) == [every[number - 1] for number in left]
    (page,) = found.pages
    for number in range(1, 4):
        corner = page.getpixel((GAP + (number - 1) * (CELL + GAP) + CELL // 2, GAP + CELL // 2))
        assert (corner == (196, 48, 43)) is (number not in left), "dropped ones are crossed out"


@pytest.mark.parametrize(
    ("drop", "why"),
    [("x", "'x' is no number"), ("9", "there is no crop 9"), ("1-", "'1-'"), ("1-999999999", "no crop 999999999")],
)
def test_numbers_that_are_none(people: Dataset, tmp_path: Path, drop: str, why: str) -> None:
    with pytest.raises(DanluError, match=why):
        cut(people, tmp_path, drop=drop)


def test_numbers_in_every_spelling() -> None:
    assert parse_numbers(" 3，7; #10-12\n") == {3, 7, 10, 11, 12} and parse_numbers("") == set()


def test_captions_by_template(people: Dataset, tmp_path: Path) -> None:
    found = cut(
        worded(people, "zorp", of_1="a woman in an orange suit"), tmp_path, template="[trigger], close-up, [caption]"
    )
    captions = [picture.caption for picture in crops_of(found)]
    assert captions == ["zorp, close-up, a woman in an orange suit", "zorp, close-up", "zorp, close-up"]
    plain = cut(worded(people, ""), tmp_path, template="close-up portrait of [trigger]")
    assert crops_of(plain)[0].caption == "close-up portrait of"


def test_boxes_by_hand(people: Dataset, tmp_path: Path) -> None:
    found = cut(people, tmp_path, boxes="2.jpg: 100, 110, 80, 90\n#1: 10 20 70 70", detector="none")
    assert [crop.size for crop in crops_of(found)] == [(140, 140), (180, 180)]
    assert near(size_in(found, 1), around((100, 110, 80, 90), (360, 360), 0.5), 0)
    more = cut(people, tmp_path, boxes="2.jpg: 100, 110, 80, 90")
    assert len(crops_of(more)) == 4, "the detector goes on for the others"


def size_in(found: Cut, index: int) -> tuple[int, int, int, int]:
    """Where a crop of picture 2 lies, found by its pixels."""
    with Image.open(crops_of(found)[index].path) as image:
        crop = np.asarray(image.convert("RGB"), dtype=int)
    source = next(p for p in found.dataset.pictures if p.name == "2.jpg").path
    whole = np.asarray(Image.open(source).convert("RGB"), dtype=int)
    height, width = crop.shape[:2]
    places = ((y, x) for y in range(whole.shape[0] - height + 1) for x in range(whole.shape[1] - width + 1))
    y, x = next(
        (y, x)
        for y, x in places
        if (whole[y, x] == crop[0, 0]).all() and (whole[y : y + height, x : x + width] == crop).all()
    )
    return x, y, x + width, y + height


@pytest.mark.parametrize(
    ("boxes", "why"),
    [
        ("hello", "'hello' is no box"),
        ("1.jpg: 1, 2, 3", "is no box"),
        ("9.jpg: 1, 2, 3, 4", "there is no picture '9.jpg'"),
        ("1.jpg: 300, 2, 100, 4", "not inside the picture, which has 360x360"),
        ("1.jpg: -1, 2, 100, 4", "not inside"),
    ],
)
def test_boxes_that_are_none(people: Dataset, tmp_path: Path, boxes: str, why: str) -> None:
    with pytest.raises(DanluError, match=why):
        cut(people, tmp_path, boxes=boxes)


def test_masks_of_another_detector(people: Dataset, tmp_path: Path) -> None:
    """At half the size, two faces in the first, none in the third."""
    masks = [np.zeros((180, 180), np.float32) for _ in range(3)] + [np.zeros((350, 450), np.float32)]
    masks[0][10:40, 20:50] = 1
    masks[0][100:160, 100:160] = 0.8
    masks[3][50:150, 200:300] = 1
    one = cut(people, tmp_path, masks=tuple(masks))
    assert [crop.size for crop in crops_of(one)] == [(240, 240), (400, 400)], "the largest of each"
    two = cut(people, tmp_path, masks=tuple(masks), faces_per_picture=2, min_size=100)
    assert [crop.size for crop in crops_of(two)] == [(240, 240), (120, 120), (400, 400)]
    with pytest.raises(DanluError, match="'masks' has 3 masks for 4 pictures"):
        cut(people, tmp_path, masks=tuple(masks[:3]))


@dataclass
class Place:
    x: int
    y: int
    width: int
    height: int


def test_anime_faces_by_a_package(people: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "animeface", None)
    with pytest.raises(DanluError, match="pip install animeface"):
        cut(people, tmp_path, detector="anime")
    asked: list[tuple[int, int]] = []

    def faces(image: Image.Image) -> list[Any]:
        asked.append(image.size)
        places = ((Place(10, 12, 60, 60), 0.3), (Place(30, 20, 50, 50), 0.9), (Place(100, 100, 80, 80), 0.9))
        return [SimpleNamespace(face=SimpleNamespace(pos=place), likelihood=chance) for place, chance in places]

    monkeypatch.setitem(sys.modules, "animeface", SimpleNamespace(detect=faces))
    found = cut(people, tmp_path, detector="anime", faces_per_picture=3)
    assert asked[0] == (360, 360) and [crop.size for crop in crops_of(found)][:2] == [(160, 160), (100, 100)]
    assert len(crops_of(found)) == 8, "an unlikely one is none"
    with pytest.raises(DanluError, match="detector: there is no 'magic'"):
        cut(people, tmp_path, detector="magic")


def test_only_single_pictures_to_train_on(people: Dataset, tmp_path: Path) -> None:
    dataset = people
    others = replace(people, role="regularisation")
    assert len(crops_of(cut(joined(dataset, others), tmp_path))) == 3
    clip = replace(dataset, pictures=tuple(replace(p, clip=Clip(9, 8.0)) for p in dataset.pictures))
    pair = replace(dataset, pictures=tuple(replace(p, befores=(p.path,)) for p in dataset.pictures))
    for none in (clip, pair, others):
        with pytest.raises(DanluError, match="no single images to train on"):
            cut(none, tmp_path)


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    dataset = save_people(tmp_path / "people")
    (tmp_path / "people" / "1.jpg").unlink()
    found = cut(dataset, tmp_path)
    assert len(crops_of(found)) == 2 and "Cannot be read: #1 1.jpg" in found.report


def test_an_interrupt_goes_through(people: Dataset, tmp_path: Path) -> None:
    class Stop(BaseException):
        pass

    class Interrupted(Reporter):
        asked = 0

        def check_interrupt(self) -> None:
            self.asked += 1
            if self.asked == 3:
                raise Stop

    with pytest.raises(Stop):
        cut_faces(people, Faces(min_size=64), tmp_path / "crops", Interrupted())
    assert len(list((tmp_path / "crops").glob("*.png"))) == 1


def test_names_of_files_are_plain(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    found = cut(dataset_of(folder, {"a b?*<x> 猫.png": PORTRAIT}), tmp_path)
    (crop,) = crops_of(found)
    assert crop.path.parent == tmp_path / "crops" and crop.name == crop.path.name
    assert crop.name.startswith("a_b_x_猫-face-") and detect.SIDE > 0
