"""Sizes: too small, long, cropped, and buckets that fill no batch."""

from __future__ import annotations

from pathlib import Path

import pytest

from danlu.doctor.finding import Severity
from danlu.errors import DanluError
from danlu.training.buckets import Buckets

from .sets import dataset_of, diagnosed, found, scene


def sized(folder: Path, *sizes: tuple[int, int]):  # noqa: ANN201
    """Pictures of these (width, height)."""
    return dataset_of(folder, {f"{i}.png": scene(i, size) for i, size in enumerate(sizes, 1)})


def test_too_small_for_the_size_that_is_trained_at(tmp_path: Path) -> None:
    dataset = sized(tmp_path, (256, 256), (260, 250), (120, 130), (256, 256))
    finding = found(dataset, "small", resolution="256")
    assert finding is not None and finding.pictures == (3,) and finding.severity is Severity.WARNING
    assert found(dataset, "small", resolution="128") is None


def test_strictness_decides_what_is_small(tmp_path: Path) -> None:
    dataset = sized(tmp_path, (256, 256), (220, 220))
    numbers = {word: found(dataset, "small", resolution="256", strictness=word) for word in ("relaxed", "strict")}
    assert numbers["relaxed"] is None and numbers["strict"] is not None and numbers["strict"].pictures == (2,)


def test_auto_says_what_it_judged_by(tmp_path: Path) -> None:
    finding = found(sized(tmp_path, (300, 300), (320, 310)), "resolution")
    assert finding is not None and "training at 256" in finding.text and finding.severity is Severity.NOTE
    assert found(sized(tmp_path, (300, 300)), "resolution", resolution="256") is None


def test_pictures_without_a_bucket(tmp_path: Path) -> None:
    finding = found(sized(tmp_path, (256, 256), (12, 200)), "too small", resolution="256")
    assert finding is not None and finding.pictures == (2,) and finding.severity is Severity.PROBLEM


def test_long_pictures(tmp_path: Path) -> None:
    dataset = sized(tmp_path, (256, 256), (100, 300), (256, 128))
    finding = found(dataset, "long", resolution="256")
    assert finding is not None and finding.pictures == (2,)
    assert found(dataset, "long", resolution="256", strictness="relaxed") is None


def test_what_buckets_crop(tmp_path: Path) -> None:
    """Longer than 4 : 1: the bucket does not follow."""
    dataset = sized(tmp_path, (256, 256), (900, 150), (300, 200))
    finding = found(dataset, "cropped", resolution="256")
    assert finding is not None and finding.pictures == (2,)
    assert found(sized(tmp_path, (256, 256), (300, 200)), "cropped", resolution="256") is None


def test_sizes_are_those_of_the_trainer(tmp_path: Path) -> None:
    sizing = diagnosed(sized(tmp_path, (350, 300), (300, 350)), resolution="256", bucket_step=32).sizing
    buckets = Buckets(256, 32, 16)
    assert sizing.fits == {1: (buckets.fit((300, 350)),), 2: (buckets.fit((350, 300)),)}
    fine = diagnosed(sized(tmp_path, (350, 300)), resolution="256", bucket_step=16).sizing
    assert fine.fits[1] == (Buckets(256, 16, 16).fit((300, 350)),) != sizing.fits[1]


def test_buckets_that_fill_no_batch(tmp_path: Path) -> None:
    dataset = sized(tmp_path, (256, 256), (256, 256), (256, 256), (128, 250))
    assert found(dataset, "bucket not full", resolution="256", batch_size=1) is None
    finding = found(dataset, "bucket not full", resolution="256", batch_size=2)
    assert finding is not None and finding.pictures == (4,) and "1 size with fewer pictures" in finding.text
    every = found(dataset, "bucket not full", resolution="256", batch_size=4)
    assert every is not None and every.pictures == (1, 2, 3, 4)


def test_a_resolution_that_is_none_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(DanluError, match="'resolution' is 'huge'"):
        diagnosed(sized(tmp_path, (256, 256)), resolution="huge")
