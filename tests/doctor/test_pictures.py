"""Faults of single pictures: each check fires on its fault, and on nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from danlu.dataset.model import FolderRequest
from danlu.dataset.scan import load_folder
from danlu.doctor.finding import Severity
from danlu.doctor.report import verdict
from danlu.tests.server import REPOSITORY

from .sets import dataset_of, diagnosed, found, scene, scenes

GOOD = scenes(6, size=(256, 192))


def with_one(folder: Path, image: Image.Image, name: str = "odd.png", **options: Any):  # noqa: ANN201
    return dataset_of(folder, {**GOOD, name: image}, **options)


def flagged(folder: Path, image: Image.Image, kind: str, name: str = "odd.png", **options: Any) -> bool:
    """Whether a check names this picture, and no other."""
    finding = found(with_one(folder, image, name, **options), kind)
    assert finding is None or finding.pictures == (len(GOOD) + 1,)
    return finding is not None


def test_good_pictures_are_ready(tmp_path: Path) -> None:
    diagnosis = diagnosed(dataset_of(tmp_path, GOOD))
    assert verdict(diagnosis) == "Ready to train." and not diagnosis.grave


def test_the_demo_is_ready() -> None:
    dataset = load_folder(FolderRequest(str(REPOSITORY / "demo" / "dataset"), trigger="dantong"))
    diagnosis = diagnosed(dataset)
    assert verdict(diagnosis) == "Ready to train.", diagnosis.grave


def test_blur(tmp_path: Path) -> None:
    sharp = scene(50, size=(256, 192))
    assert flagged(tmp_path, sharp.filter(ImageFilter.GaussianBlur(3)), "blurred")
    assert not flagged(tmp_path, sharp, "blurred")
    enlarged = sharp.resize((64, 48)).resize((256, 192), Image.Resampling.BICUBIC)
    assert flagged(tmp_path, enlarged, "blurred")


def test_a_sharp_subject_before_a_soft_background_is_not_blurred(tmp_path: Path) -> None:
    sharp = scene(50, size=(256, 192))
    portrait = sharp.filter(ImageFilter.GaussianBlur(6))
    portrait.paste(sharp.crop((64, 48, 192, 144)), (64, 48))
    assert not flagged(tmp_path, portrait, "blurred")


def test_a_soft_style_is_no_fault(tmp_path: Path) -> None:
    soft = {name: image.filter(ImageFilter.GaussianBlur(5)) for name, image in GOOD.items()}
    dataset = dataset_of(tmp_path, soft)
    assert found(dataset, "blurred") is None
    finding = found(dataset, "soft")
    assert finding is not None and finding.severity is Severity.NOTE
    assert found(dataset_of(tmp_path, GOOD), "soft") is None


def test_strictness_decides_what_is_blurred(tmp_path: Path) -> None:
    slightly = scene(50, size=(256, 192)).filter(ImageFilter.GaussianBlur(0.7))
    dataset = with_one(tmp_path, slightly)
    assert found(dataset, "blurred", strictness="strict") is not None
    assert found(dataset, "blurred", strictness="relaxed") is None


def test_dark_bright_and_empty(tmp_path: Path) -> None:
    image = scene(50, size=(256, 192))
    dark = ImageEnhance.Brightness(image).enhance(0.2)
    pale = Image.blend(image, Image.new("RGB", image.size, "white"), 0.8)
    for kind in ("dark", "bright", "empty"):
        assert flagged(tmp_path, dark, kind) is (kind == "dark")
        assert flagged(tmp_path, pale, kind) is (kind == "bright")
        assert flagged(tmp_path, Image.new("RGB", image.size, (40, 90, 200)), kind) is (kind == "empty")
        assert not flagged(tmp_path, image, kind)


def test_a_small_thing_on_white_is_not_empty(tmp_path: Path) -> None:
    product = Image.new("RGB", (256, 192), "white")
    product.paste(scene(50, size=(100, 80)), (78, 56))
    for kind in ("empty", "bright", "border"):
        assert not flagged(tmp_path, product, kind)
    product = Image.new("RGB", (256, 192), "white")
    product.paste(scene(50, size=(16, 16)), (120, 80))
    assert flagged(tmp_path, product, "empty"), "half a percent of the picture"


def test_bars(tmp_path: Path) -> None:
    image = scene(50, size=(256, 192))
    above = ImageOps.expand(image, (0, 24), "black")
    beside = ImageOps.expand(image, (30, 0), "white")
    assert flagged(tmp_path, above, "border") and flagged(tmp_path, beside, "border")
    assert flagged(tmp_path, ImageOps.expand(image, 12, "black"), "border"), "a frame"
    assert not flagged(tmp_path, image, "border")
    sky = image.copy()
    sky.paste((120, 160, 220), (0, 0, 256, 60))
    assert not flagged(tmp_path, sky, "border"), "at one edge only"


def test_stripes_are_no_bars(tmp_path: Path) -> None:
    columns = np.indices((192, 256))[1] // 16 % 2 * 120 + 60
    stripes = Image.fromarray(columns.astype(np.uint8)).convert("RGB")
    assert not flagged(tmp_path, stripes, "border")


def test_jpeg_blocks(tmp_path: Path) -> None:
    image = scene(50, size=(256, 192))
    assert flagged(tmp_path, image, "JPEG blocks", "odd.jpg", quality=15)
    assert not flagged(tmp_path, image, "JPEG blocks", "odd.jpg", quality=80)
    finding = found(with_one(tmp_path, image, "odd.jpg", quality=15), "JPEG blocks")
    assert finding is not None and "about 15)" in finding.text, "the quality it was saved with"


def test_broken_since_it_was_loaded(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, GOOD)
    assert found(dataset, "broken") is None
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:200])
    (tmp_path / "3.png").unlink()
    finding = found(dataset, "broken")
    assert finding is not None and finding.pictures == (2, 3) and finding.severity is Severity.PROBLEM
    assert "#2 2.png (the file is cut off)" in finding.text and "#3 3.png (it cannot be read any more" in finding.text


def test_all_of_them_broken_is_told_too(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, {"1.png": scene(1)})
    (tmp_path / "1.png").write_bytes(b"")
    finding = found(dataset, "broken")
    assert finding is not None and finding.pictures == (1,)
