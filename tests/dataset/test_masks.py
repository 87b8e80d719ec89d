"""Masks of a folder, and alpha channels."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from danlu.dataset import known
from danlu.dataset import masks as module
from danlu.dataset.masks import open_mask
from danlu.dataset.model import Dataset, FolderRequest, Picture
from danlu.dataset.scan import fingerprint, load_folder
from danlu.errors import DanluError

from .pictures import save


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    save(tmp_path / "pictures" / "a.png")
    save(tmp_path / "pictures" / "10_near" / "b.png")
    return tmp_path / "pictures"


def request(pictures: Path, **others: str) -> FolderRequest:
    made = FolderRequest(str(pictures), mask_source="folder", mask_folder=str(pictures.parent / "masks"))
    return replace(made, **others)  # type: ignore[arg-type]


def load(pictures: Path, **others: str) -> Dataset:
    return load_folder(request(pictures, **others))


def white(path: Path, size: tuple[int, int] = (96, 80)) -> Path:
    return save(path, size, (255, 255, 255))


def masks(dataset: Dataset) -> dict[str, Path | None]:
    return {picture.name: picture.mask for picture in dataset.pictures}


@pytest.mark.parametrize("name", ["10_near/b.png", "b.jpg", "B.webp"])
def test_masks_are_found_by_name(pictures: Path, name: str) -> None:
    first, second = white(pictures.parent / "masks" / "a.png"), white(pictures.parent / "masks" / name)
    found = load(pictures)
    assert masks(found) == {"a.png": first, "10_near/b.png": second}
    assert found.report.notes == ()
    assert set(masks(load(pictures, mask_source="none")).values()) == {None}


def test_a_missing_mask_is_named(pictures: Path) -> None:
    white(pictures.parent / "masks" / "a.png")
    found = load(pictures)
    assert masks(found)["10_near/b.png"] is None
    assert found.report.notes == ("Without a mask, trained as a whole: 10_near/b.png",)


def test_other_sizes(pictures: Path) -> None:
    white(pictures.parent / "masks" / "a.png", (48, 40))
    white(pictures.parent / "masks" / "b.png")
    assert load(pictures).report.notes == ("Mask of another size, resized: a.png",)
    wrong = white(pictures.parent / "masks" / "a.png", (80, 96))
    with pytest.raises(DanluError, match=f"{wrong} is 80x96, but its picture a.png is 96x80"):
        load(pictures)


def test_a_black_mask_is_told(pictures: Path) -> None:
    save(pictures.parent / "masks" / "a.png", colour=(0, 0, 0))
    white(pictures.parent / "masks" / "b.png")
    assert load(pictures).report.notes == ("1 mask black all over, of which nothing is learned: a.png",)


def test_grey_is_kept(pictures: Path) -> None:
    save(pictures.parent / "masks" / "a.png", colour=(64,), mode="L")
    white(pictures.parent / "masks" / "b.png")
    picture = next(picture for picture in load(pictures).pictures if picture.name == "a.png")
    assert set(np.unique(np.asarray(open_mask(picture)))) == {64}


def test_alpha(pictures: Path) -> None:
    image = Image.new("RGBA", (96, 80), (9, 9, 9, 255))
    image.paste((200, 0, 0, 0), (0, 0, 48, 80))
    image.save(pictures / "a.png")
    found = load(pictures, mask_source="alpha")
    assert masks(found) == {"a.png": pictures / "a.png", "10_near/b.png": None}
    picture = next(picture for picture in found.pictures if picture.mask)
    alpha = np.asarray(open_mask(picture))
    assert (alpha[:, :48] == 0).all() and (alpha[:, 48:] == 255).all()


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"mask_folder": ""}, "'mask_folder' is empty"),
        ({"mask_folder": "/nowhere/at/all"}, "'mask_folder': there is no folder"),
        ({"mask_source": "alpha"}, "no picture has an alpha channel"),
        ({"mask_source": "red"}, "'mask_source'.*none, folder, alpha"),
    ],
)
def test_bad_input(pictures: Path, others: dict[str, str], message: str) -> None:
    with pytest.raises(DanluError, match=message):
        load(pictures, **others)


def test_a_folder_without_masks(pictures: Path) -> None:
    white(pictures.parent / "masks" / "other.png")
    with pytest.raises(DanluError, match="No mask in .*masks is named like a picture"):
        load(pictures)


def test_a_broken_mask(pictures: Path) -> None:
    white(pictures.parent / "masks" / "a.png").write_bytes(b"no picture")
    with pytest.raises(DanluError, match="a.png cannot be used: not a picture"):
        load(pictures)


def test_masks_on_disk_are_watched(pictures: Path) -> None:
    mask = white(pictures.parent / "masks" / "a.png")
    before = fingerprint(request(pictures))
    save(mask, (96, 80), (0, 0, 0)).with_name("c.png")
    Image.effect_noise((96, 80), 50).save(mask)
    assert fingerprint(request(pictures)) != before


def test_a_name_of_several_pictures_or_masks_says_nothing(tmp_path: Path) -> None:
    """Bob's 001 must not be learned where Alice stands in hers."""
    folder, beside = tmp_path / "pictures", tmp_path / "masks"
    names = ["10_alice/001.png", "5_bob/001.png", "5_bob/002.png", "5_bob/003.png"]
    for name in names:
        save(folder / name)
    given = {name: white(beside / name) for name in ("10_alice/001.png", "all/002.png", "one/003.png", "two/003.png")}
    found = load(folder)
    assert masks(found) == dict(zip(names, [given["10_alice/001.png"], None, given["all/002.png"], None], strict=True))
    assert "Without a mask, trained as a whole: 5_bob/001.png, 5_bob/003.png" in found.report.notes


def test_masks_below_the_folder_are_no_pictures(tmp_path: Path) -> None:
    for name in ("a.png", "more/b.png", "masksalike/c.png"):
        save(tmp_path / name)
        white(tmp_path / "masks" / "deep" / name)
    names = {"a.png", "more/b.png", "masksalike/c.png"}
    for given in (tmp_path / "masks", tmp_path / "more" / ".." / "masks"):
        made = replace(request(tmp_path, mask_folder=str(given)), recursive=True)
        found = masks(load_folder(made))
        assert set(found) == names and None not in found.values()
    unmasked = load_folder(replace(made, mask_source="none"))
    assert len(unmasked.pictures) == 6, "without masks, a folder called so is one like the others"


def test_pictures_within_the_masks_folder_are_pictures(tmp_path: Path) -> None:
    save(tmp_path / "pictures" / "a.png")
    white(tmp_path / "b.png")
    for folder in (tmp_path, tmp_path / "pictures"):
        made = FolderRequest(str(folder), recursive=True, mask_source="folder", mask_folder=str(tmp_path))
        assert "a.png" in {picture.path.name for picture in load_folder(made).pictures}


def test_masks_are_decoded_once(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns
    monkeypatch.setattr(known.time, "time_ns", lambda: now() + 10**10)  # files written just now are not trusted
    decoded: list[str] = []
    steps: list[int] = []

    def counted(picture: Picture) -> Image.Image:
        decoded.append(picture.name)
        return open_mask(picture)

    monkeypatch.setattr(module, "open_mask", counted)

    def notes(**others: str) -> tuple[str, ...]:
        decoded.clear()
        steps.clear()
        with known.kept_in(tmp_path / "kept"):
            found = load_folder(request(pictures, **others), lambda done, total: steps.append(len(decoded)))
        return found.report.notes

    black = save(pictures.parent / "masks" / "a.png", colour=(0, 0, 0))
    white(pictures.parent / "masks" / "b.png")
    told = ("1 mask black all over, of which nothing is learned: a.png",)
    assert notes() == told and len(decoded) == 2
    assert set(steps) == {0, 1}, "between the masks there is progress, and room to stop"
    assert notes() == told and not decoded
    white(black)
    assert notes() == () and decoded == ["a.png"]
    for name in ("a.png", "10_near/b.png"):
        Image.new("RGBA", (96, 80), (9, 9, 9, 0 if name == "a.png" else 99)).save(pictures / name)
    alpha = notes(mask_source="alpha")
    assert alpha == told and alpha == notes(mask_source="alpha") and not decoded
