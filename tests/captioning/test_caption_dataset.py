"""A dataset and a captioner: what is described, and where the texts go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from danlu.captioning.captioner import Caption
from danlu.captioning.dataset import CaptionOptions, CaptionReport, caption_dataset
from danlu.captioning.places import Places
from danlu.captioning.sheet import captioned_sheet
from danlu.dataset.model import Dataset, Picture
from danlu.errors import DanluError

from .caption_sets import save
from .toys import IDENTITY, Toy, Watcher, grey_pictures


def a_dataset(folder: Path, count: int = 3, trigger: str = "zorp") -> Dataset:
    pictures = [Picture(path, path.name, (16, 16), trigger, 1) for path in grey_pictures(folder, count)]
    return Dataset(folder, tuple(pictures), trigger)


def paired(folder: Path) -> Dataset:
    """Afters of level 0 and 1, befores of level 100 and 101."""
    dataset = a_dataset(folder / "after", 2)
    pictures = []
    for number, picture in enumerate(dataset.pictures):
        before = folder / f"before{number}.png"
        Image.new("RGB", (16, 16), (100 + number,) * 3).save(before)
        pictures.append(replace(picture, befores=(before,)))
    return replace(dataset, pictures=tuple(pictures))


def run(dataset: Dataset, tmp_path: Path, toy: Toy | None = None, **options) -> tuple[Dataset, CaptionReport]:
    return caption_dataset(dataset, toy or Toy(), CaptionOptions(**options), tmp_path / "records", Watcher())


def test_body_and_caption_are_filled_and_say_who_wrote_them(tmp_path: Path) -> None:
    dataset, report = run(a_dataset(tmp_path / "p"), tmp_path, seed=5)
    for number, picture in enumerate(dataset.pictures):
        assert picture.body.startswith(f"level {number}, seed ")
        assert picture.caption == f"zorp, {picture.body}"
        assert (picture.captioner, picture.seed) == (IDENTITY, 5)
    assert dataset.report.captioned == 3 and not dataset.report.without_caption
    assert report.text().startswith("3 pictures captioned in ")


def test_what_has_a_caption_is_left_alone_or_not(tmp_path: Path) -> None:
    dataset = a_dataset(tmp_path / "p")
    mine = replace(dataset.pictures[1], body="my own", caption="zorp, my own")
    dataset = replace(dataset, pictures=(dataset.pictures[0], mine, dataset.pictures[2]))
    captioned, report = run(dataset, tmp_path)
    assert captioned.pictures[1] is mine and report.skipped == 1
    captioned, report = run(dataset, tmp_path, which="all")
    assert captioned.pictures[1].body.startswith("level 1") and report.skipped == 0
    assert (report.outcome.done, report.outcome.earlier) == (1, 2)


@pytest.mark.parametrize(
    ("caption_from", "body", "before_body", "caption"),
    [
        ("after", "level 0", "", "level 0"),
        ("before", "", "level 100", "level 100"),
        ("both", "level 0", "level 100", "level 0"),
    ],
)
def test_pairs(tmp_path: Path, caption_from: str, body: str, before_body: str, caption: str) -> None:
    dataset, _ = run(paired(tmp_path), tmp_path, caption_from=caption_from)
    found = dataset.pictures[0]
    assert found.body.split(",")[0] == body and found.before_body.split(",")[0] == before_body
    assert found.caption.startswith(f"zorp, {caption},")
    save(dataset, places=Places(tmp_path / "output"), folder="captions")
    written = (tmp_path / "output" / "captions" / found.path.name).with_suffix(".txt")
    assert written.read_text(encoding="utf-8") == found.caption


def test_joined_datasets_each_with_its_trigger(tmp_path: Path) -> None:
    other = a_dataset(tmp_path / "b", 2, "klim")
    dataset, report = run(replace(a_dataset(tmp_path / "a"), joined=(other,)), tmp_path)
    assert [picture.caption.split(",")[0] for picture in dataset.joined[0].pictures] == ["klim", "klim"]
    assert report.outcome.done == 5 and len(dataset.parts()) == 2


def test_failures_keep_what_they_had(tmp_path: Path) -> None:
    dataset = a_dataset(tmp_path / "p")
    dataset.pictures[0].path.write_bytes(b"no picture")
    captioned, report = run(dataset, tmp_path)
    assert captioned.pictures[0] == dataset.pictures[0]
    assert "1 failed" in report.text() and "Failed: 00.png (" in report.text()
    assert captioned.report.without_caption == ("00.png",)


def test_flags_and_empty_texts_are_told(tmp_path: Path) -> None:
    class Terse(Toy):
        def captions(self, pictures: Sequence[Image.Image], seeds: Sequence[int]) -> list[Caption]:
            return [Caption(""), Caption("x x", "repeats itself"), Caption("fine")]

    dataset, report = run(a_dataset(tmp_path / "p"), tmp_path, Terse())
    assert "Look at these: 00.png (no text), 01.png (repeats itself)" in report.text()
    assert (dataset.pictures[0].body, dataset.pictures[0].caption) == ("", "zorp")


def test_a_picture_that_is_gone_is_told(tmp_path: Path) -> None:
    dataset = a_dataset(tmp_path / "p")
    dataset.pictures[1].path.unlink()
    with pytest.raises(DanluError, match="cannot be read any more.*Run Load Dataset"):
        run(dataset, tmp_path)


@pytest.mark.parametrize("options", [{"which": "some"}, {"caption_from": "elsewhere"}])
def test_unknown_choices(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(DanluError, match="it can be one of"):
        run(a_dataset(tmp_path / "p"), tmp_path, **options)


def test_the_sheet_shows_pictures_over_their_texts() -> None:
    colours = ("red", "green", "blue", "white", "black")
    shown = [(Image.new("RGB", (300, 200), colour), f"a {colour} thing " * 12) for colour in colours]
    sheet = captioned_sheet(shown)
    found = {colour for _, colour in sheet.getcolors(1 << 20) or []}
    assert {(255, 0, 0), (0, 128, 0), (0, 0, 255)} <= found
    assert sheet.size != captioned_sheet([(picture, "") for picture, _ in shown]).size, "texts take room"
    assert captioned_sheet([]).size[0] > 0
