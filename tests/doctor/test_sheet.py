"""Reports, and the pages that show them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from danlu.doctor import sheet
from danlu.doctor.diagnosis import Diagnosis
from danlu.doctor.finding import Severity
from danlu.doctor.report import text, verdict

from .sets import dataset_of, diagnosed, scene, scenes

BLUE = (0, 0, 255)


def with_blue(folder: Path, count: int) -> Diagnosis:
    """The last one of these is empty."""
    return diagnosed(dataset_of(folder, {**scenes(count - 1), "blue.png": Image.new("RGB", (160, 128), BLUE)}))


def first_cell(page: Image.Image) -> Image.Image:
    left, top = sheet.GAP, sheet.HEAD
    return page.crop((left, top, left + sheet.CELL, top + sheet.THUMB))


def share(image: Image.Image, colour: tuple[int, int, int]) -> float:
    return float((np.asarray(image) == colour).all(axis=2).mean())


def test_the_gravest_comes_first(tmp_path: Path) -> None:
    diagnosis = with_blue(tmp_path, 6)
    severities = [finding.severity for finding in diagnosis.findings]
    assert severities == sorted(severities, reverse=True) and severities[0] is Severity.PROBLEM
    assert verdict(diagnosis).startswith("Not ready: 1 problem to solve first")
    told = text(diagnosis)
    assert told.startswith("Not ready") and told.index("PROBLEM · empty") < told.index("NOTE · ")
    assert all(finding.remedy and finding.remedy in told for finding in diagnosis.findings)
    assert "SIZES at 128 (repeats count)\n144 x 112: 6" in told


def test_flagged_pictures_are_shown_first(tmp_path: Path) -> None:
    diagnosis = with_blue(tmp_path, 6)
    flagged, plain = (sheet.pages(diagnosis, 1, order)[1] for order in sheet.ORDERS)
    assert share(first_cell(flagged), BLUE) > 0.5 and share(first_cell(plain), BLUE) == 0
    assert share(plain, BLUE) > 0.01, "it is shown at its place"


@pytest.mark.parametrize(("count", "most", "shown"), [(6, 3, 2), (21, 3, 3), (21, 1, 2), (6, 0, 1)])
def test_as_many_pages_as_it_takes(tmp_path: Path, count: int, most: int, shown: int) -> None:
    pages = sheet.pages(diagnosed(dataset_of(tmp_path, scenes(count, size=(48, 48)))), most)
    assert len(pages) == shown and {page.size for page in pages} == {(sheet.WIDTH, sheet.HEIGHT)}


def test_what_is_cropped_is_pale(tmp_path: Path) -> None:
    """Twice as wide as the longest bucket: the ends are cropped."""
    image = Image.new("RGB", (1280, 160), BLUE)
    ImageDraw.Draw(image).rectangle((600, 40, 680, 120), "red")
    diagnosis = diagnosed(dataset_of(tmp_path, {"1.png": image}), resolution="128")
    cell = np.asarray(first_cell(sheet.pages(diagnosis, 1)[1])).astype(int)
    row = cell[sheet.THUMB // 2 + 9]
    blue = np.flatnonzero((np.abs(row - BLUE) < 12).all(axis=1))
    pale = np.flatnonzero((row[:, 2] > 230) & (row[:, 0] > 130) & (row[:, 0] < 200))
    assert len(pale) > 100 and pale.min() < blue.min() and pale.max() > blue.max()
    assert len(blue) / (len(blue) + len(pale)) == pytest.approx(0.5, abs=0.12)


def test_pairs_are_shown_side_by_side(tmp_path: Path) -> None:
    red = Image.new("RGB", (160, 128), "red")
    red.paste(scene(1, (60, 60)), (50, 30))
    after = {"1.png": Image.new("RGB", (160, 128), BLUE)}
    diagnosis = diagnosed(dataset_of(tmp_path, after, befores={"1.png": red}))
    cell = first_cell(sheet.pages(diagnosis, 1)[1])
    half = cell.width // 2
    assert share(cell.crop((0, 0, half, cell.height)), (255, 0, 0)) > 0.1
    assert share(cell.crop((half, 0, cell.width, cell.height)), BLUE) > 0.3


def test_a_picture_that_cannot_be_read_has_a_cell(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, scenes(2))
    (tmp_path / "1.png").unlink()
    assert len(sheet.pages(diagnosed(dataset), 1)) == 2


def test_pages_can_be_interrupted(tmp_path: Path) -> None:
    class Stop(BaseException):
        pass

    def stop() -> None:
        raise Stop

    diagnosis = diagnosed(dataset_of(tmp_path, scenes(2)))
    with pytest.raises(Stop):
        sheet.pages(diagnosis, 1, sheet.ORDERS[0], stop)
