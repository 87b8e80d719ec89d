"""Pictures of other nodes as a dataset, and a dataset's pictures for other nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from danlu.dataset.images import open_rgb
from danlu.dataset.joining import join
from danlu.dataset.made import Labels, check_memory, chosen, dataset_of_images, opened_pictures
from danlu.dataset.masks import open_mask
from danlu.dataset.model import Dataset, FolderRequest
from danlu.dataset.scan import load_folder
from danlu.errors import DanluError

from .pictures import noise, save


def image(seed: int = 0, height: int = 16, width: int = 24, channels: int = 3) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (height, width, channels)).astype(np.float32) / 255


def made(into: Path, images: list[np.ndarray], captions: tuple[str, ...] = (), **labels: object) -> Dataset:
    return dataset_of_images(images, captions, (), into, Labels(**labels))  # type: ignore[arg-type]


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def test_pixels_captions_and_labels(tmp_path: Path) -> None:
    images = [image(1), image(2, 32, 16)]
    dataset = made(
        tmp_path, images, (" a red\nfox", "[trigger] in rain"), trigger="ohwx", repeats=3, role="validation",
        class_word="fox", weight=0.5, name="My ../ set",
    )  # fmt: skip
    assert [picture.caption for picture in dataset.pictures] == ["ohwx, a red fox", "ohwx in rain"]
    assert [picture.body for picture in dataset.pictures] == ["a red fox", "[trigger] in rain"]
    assert [picture.size for picture in dataset.pictures] == [(16, 24), (32, 16)]
    assert (dataset.role, dataset.class_word, dataset.weight, dataset.pictures[0].repeats) == (
        "validation",
        "fox",
        0.5,
        3,
    )
    assert dataset.folder.parent == tmp_path and dataset.folder.name.startswith("My_set-")
    assert dataset.report.summary() == "2 images, 2 captions, repeats 3, trigger ohwx"
    for picture, pixels in zip(dataset.pictures, images, strict=True):
        assert np.array_equal(np.asarray(open_rgb(picture.path), dtype=np.float32) / 255, pixels)


def test_the_same_pictures_are_written_once(tmp_path: Path) -> None:
    first = made(tmp_path, [image(1)], ("one",))
    before = tree(tmp_path)
    assert made(tmp_path, [image(1)], ("another text",)).folder == first.folder
    assert tree(tmp_path) == before
    assert made(tmp_path, [image(2)]).folder != first.folder


def test_one_caption_for_all_and_none(tmp_path: Path) -> None:
    assert [p.caption for p in made(tmp_path, [image(1), image(2)], ("rain",)).pictures] == ["rain", "rain"]
    bare = made(tmp_path, [image(1)], trigger="ohwx")
    assert bare.pictures[0].caption == "ohwx" and bare.report.captioned == 0


def test_masks(tmp_path: Path) -> None:
    mask = np.zeros((16, 24), dtype=np.float32)
    mask[:, :12] = 1
    none = np.zeros((64, 64), dtype=np.float32)  # what the host gives for a picture without a mask
    dataset = dataset_of_images([image(1), image(2)], (), (mask, none), tmp_path, Labels())
    assert np.array_equal(np.asarray(open_mask(dataset.pictures[0])) > 0, mask > 0)
    assert dataset.pictures[1].mask is None
    for (_, found), expected in zip(opened_pictures(dataset.pictures), (mask, np.ones((16, 24))), strict=True):
        assert np.array_equal(np.asarray(found) / 255, expected)
    with pytest.raises(DanluError, match="Make the mask as large as its picture"):
        dataset_of_images([image(1)], (), (np.ones((99, 16), dtype=np.float32),), tmp_path, Labels())


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent(tmp_path: Path, channels: int) -> None:
    pixels = image(1, channels=channels)
    found = made(tmp_path, [pixels]).pictures[0]
    assert Image.open(found.path).mode == {1: "L", 4: "RGBA"}[channels]
    assert open_rgb(found.path).size == (24, 16)


@pytest.mark.parametrize(
    ("images", "captions", "labels", "message"),
    [
        ([], (), {}, "'images' holds no image"),
        ([image(), image(), image()], ("a", "b"), {}, "'captions' holds 2 captions, but there are 3 images"),
        ([image(height=4)], (), {}, "image 1 is 24x4, too small"),
        ([image(channels=2)], (), {}, "which is no picture"),
        ([image() * np.nan], (), {}, "values that are not numbers"),
        ([image()], (), {"role": "test"}, "'role' is 'test'"),
        ([image()], (), {"weight": 0.0}, "'weight'"),
    ],
)
def test_what_cannot_be_a_dataset(
    tmp_path: Path, images: list[np.ndarray], captions: tuple[str, ...], labels: dict[str, object], message: str
) -> None:
    with pytest.raises(DanluError, match=message):
        made(tmp_path, images, captions, **labels)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DanluError, match="No space left.*Make room"):
        made(tmp_path, [image()])
    assert not list(tmp_path.iterdir())


def test_which_pictures(tmp_path: Path) -> None:
    for number in range(4):
        noise(tmp_path / "a" / f"{number}.png", seed=number)
    save(tmp_path / "b" / "x.png")
    joined = join([load_folder(FolderRequest(str(tmp_path / name))) for name in ("a", "b")])
    assert [picture.name for picture in chosen(joined, 0, 2)] == ["0.png", "1.png"]
    assert [picture.name for picture in chosen(joined, 3, 99)] == ["3.png", "x.png"]
    for start, count in ((5, 1), (-1, 1), (0, 0)):
        with pytest.raises(DanluError, match="'start'|'count'"):
            chosen(joined, start, count)


def test_too_many_for_the_memory(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / f"{number}.png", (100, 100))
    pictures = load_folder(FolderRequest(str(tmp_path))).pictures
    check_memory(pictures, 480_000)
    with pytest.raises(DanluError, match="'count' to 2 or less"):
        check_memory(pictures, 300_000)


def test_a_picture_that_is_gone(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png")
    pictures = load_folder(FolderRequest(str(tmp_path))).pictures
    path.unlink()
    with pytest.raises(DanluError, match="a.png.*cannot be read any more.*Queue again"):
        list(opened_pictures(pictures))
