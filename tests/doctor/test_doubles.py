"""Pictures that are there more than once."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from danlu.dataset.model import Picture
from danlu.doctor.diagnosis import dropped
from danlu.doctor.doubles import near_doubles
from danlu.doctor.finding import Severity, Subject, Thresholds
from danlu.doctor.hashes import differing_bits
from danlu.doctor.look import Look

from .sets import dataset_of, diagnosed, found, joined, scene, scenes


def test_different_pictures_are_no_doubles(tmp_path: Path) -> None:
    groups = diagnosed(dataset_of(tmp_path, scenes(40))).groups
    assert list(groups) == ["same file", "same pixels", "nearly the same", "mirrored"] and not any(groups.values())


def test_the_same_bytes(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, scenes(3))
    shutil.copy(tmp_path / "2.png", tmp_path / "again.png")
    first, second, third = dataset.pictures
    again = replace(second, path=tmp_path / "again.png", name="again.png", body="a longer text than the other one")
    dataset = replace(dataset, pictures=(first, second, third, again))
    finding = found(dataset, "same file")
    assert finding is not None and set(finding.pictures) == {2, 4}
    (group,) = diagnosed(dataset).groups["same file"]
    assert group[0].picture.name == "again.png", "the one with more text is kept"
    assert found(dataset, "nearly the same") is None, "told once"


def test_the_same_pixels_in_another_file(tmp_path: Path) -> None:
    pictures = {**scenes(3), "other.bmp": scene(2)}
    finding = found(dataset_of(tmp_path, pictures), "same pixels")
    assert finding is not None and set(finding.pictures) == {2, 4}
    changed = scene(2)
    changed.putpixel((0, 0), (0, 0, 0))
    assert found(dataset_of(tmp_path, {**pictures, "other.bmp": changed}), "same pixels") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.resize((120, 96)),
        lambda image: ImageEnhance.Brightness(image).enhance(1.03),
        lambda image: image.crop((2, 1, 158, 127)),
    ],
)
def test_nearly_the_same(tmp_path: Path, change) -> None:  # noqa: ANN001
    dataset = dataset_of(tmp_path, {**scenes(5), "again.png": change(scene(3))})
    finding = found(dataset, "nearly the same")
    assert finding is not None and set(finding.pictures) == {3, 6} and finding.severity is Severity.WARNING


def test_a_jpeg_of_a_png_is_nearly_the_same(tmp_path: Path) -> None:
    finding = found(dataset_of(tmp_path, {**scenes(4), "copy.jpg": scene(1)}, quality=70), "nearly the same")
    assert finding is not None and set(finding.pictures) == {1, 5}


def test_the_same_shape_in_another_colour_is_another_picture(tmp_path: Path) -> None:
    red, green = (Image.merge("RGB", [scene(1).getchannel(band) for band in bands]) for bands in ("RGB", "GBR"))
    assert found(dataset_of(tmp_path, {"a.png": red, "b.png": green}), "nearly the same") is None


def test_mirrored(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, {**scenes(5), "flipped.png": ImageOps.mirror(scene(4))})
    finding = found(dataset, "mirrored")
    assert finding is not None and set(finding.pictures) == {4, 6} and finding.severity is Severity.NOTE
    assert found(dataset, "nearly the same") is None


@pytest.mark.parametrize(
    "again",
    [
        scene(2),
        ImageEnhance.Brightness(scene(2)).enhance(1.03),
        ImageOps.mirror(scene(2)),
    ],
)
@pytest.mark.parametrize("name", ["again.png", "again.bmp"])
def test_pairs_that_share_their_goal_are_no_doubles(tmp_path: Path, again: Image.Image, name: str) -> None:
    """Several befores for one goal; with the same before too they are."""
    goals = {**scenes(3), name: again}
    befores = {"1.png": scene(11), "2.png": scene(12), "3.png": scene(13)}
    others = dataset_of(tmp_path / "others", goals, befores={**befores, name: scene(14)})
    diagnosis = diagnosed(others)
    assert not any(diagnosis.groups.values())
    assert dropped(diagnosis, "all doubles") == (others, ())
    same = diagnosed(dataset_of(tmp_path / "same", goals, befores={**befores, name: scene(12)})).groups
    assert [[{s.number for s in group} for group in groups] for groups in same.values() if groups] == [[{2, 4}]]


def test_strictness_decides_what_is_near(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, {**scenes(3), "lighter.png": ImageEnhance.Brightness(scene(3)).enhance(1.07)})
    assert found(dataset, "nearly the same", strictness="strict") is not None
    assert found(dataset, "nearly the same", strictness="relaxed") is None


def test_validation_pictures_that_are_trained_on(tmp_path: Path) -> None:
    train = dataset_of(tmp_path / "train", scenes(3))
    clean = dataset_of(tmp_path / "clean", {"9.png": scene(9)}, role="validation")
    leaky = dataset_of(tmp_path / "leaky", {"2.png": scene(2), "9.png": scene(9)}, role="validation")
    assert found(joined(train, clean), "also trained on") is None
    finding = found(joined(train, leaky), "also trained on")
    assert finding is not None and finding.severity is Severity.PROBLEM and set(finding.pictures) == {2, 4}


def test_goals_for_validation_that_are_trained_on(tmp_path: Path) -> None:
    """From another before, too: what comes of it is known."""
    train = dataset_of(tmp_path / "train", scenes(3), befores={"2.png": scene(12)})
    leaky = dataset_of(tmp_path / "v", {"2.png": scene(2)}, role="validation", befores={"2.png": scene(13)})
    finding = found(joined(train, leaky), "also trained on")
    assert finding is not None and set(finding.pictures) == {2, 4}


def random_looks(count: int) -> tuple[list[Subject], dict[int, Look]]:
    rng = np.random.RandomState(0)
    subjects, looks = [], {}
    for number in range(1, count + 1):
        picture = Picture(Path(f"{number}.png"), f"{number}.png", (64, 64), "", 1)
        subjects.append(Subject(number, None, picture))  # type: ignore[arg-type]
        value, mirrored = (int.from_bytes(rng.bytes(8), "big") for _ in range(2))
        looks[number] = Look(0, 0, 255, 50, 0, (0, 0, 0, 0), None, value, mirrored, rng.bytes(16 * 16 * 3))
    return subjects, looks


def test_ten_thousand_are_compared_in_seconds() -> None:
    subjects, looks = random_looks(10_000)
    looks[7000] = replace(looks[7000], hash=looks[1234].hash ^ 0b1011, thumb=looks[1234].thumb)
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1

    began = time.process_time()
    groups = near_doubles(subjects, looks, Thresholds.of("normal"), check)
    assert time.process_time() - began < 10
    assert [[s.number for s in group] for group in groups["nearly the same"]] == [[1234, 7000]]
    assert calls >= 100, "it can be interrupted"


def test_bits_are_counted_without_numpy_2(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.array([0, 1, 2**63 + 6, 2**64 - 1], dtype=np.uint64)
    if hasattr(np, "bitwise_count"):
        assert differing_bits(0, values).tolist() == [0, 1, 3, 64]
        monkeypatch.delattr(np, "bitwise_count")
    assert differing_bits(0, values).tolist() == [0, 1, 3, 64]
    assert differing_bits(2**64 - 1, values).tolist() == [64, 63, 61, 0]
