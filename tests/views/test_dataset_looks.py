"""Small and whole pictures: upright, of the dataset only, and made once."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from danlu.errors import DanluError
from danlu.tests.dataset.films import film
from danlu.tests.views import dataset_sets as sets
from danlu.views.dataset import looks
from danlu.views.dataset.open import Opened
from danlu.views.errors import NotFound
from danlu.views.kept import Kept


def seen(shown: looks.Shown) -> Image.Image:
    content = shown.content if shown.file is None else shown.file.read_bytes()
    image = Image.open(io.BytesIO(content))
    assert Image.MIME[str(image.format)] == shown.kind
    return image


@pytest.fixture
def pairs(tmp_path: Path) -> Opened:
    sets.picture(tmp_path / "cats" / "1.png", 0, (640, 320))
    sets.picture(tmp_path / "was" / "1.png", 8, (640, 320))
    mask = Image.new("L", (640, 320))
    mask.paste(255, (0, 0, 320, 320))
    (tmp_path / "masks").mkdir()
    mask.save(tmp_path / "masks" / "1.png")
    inputs = {"before_folder": str(tmp_path / "was"), "mask_source": "folder", "mask_folder": str(tmp_path / "masks")}
    return sets.opened(tmp_path / "cats", **inputs)


def test_small_ones(pairs: Opened) -> None:
    assert seen(looks.thumbnail(pairs, 0, 200)).size == (256, 128), "the next side that is made"
    assert seen(looks.thumbnail(pairs, 0, 9999)).size == (640, 320), "never enlarged"
    red, blue = (seen(looks.thumbnail(pairs, 0, 128, which)).getpixel((5, 5)) for which in ("picture", "before0"))
    assert isinstance(red, tuple) and isinstance(blue, tuple) and blue[0] - red[0] > 200
    mask = np.asarray(seen(looks.thumbnail(pairs, 0, 128, "mask")))
    assert mask[:, :60].min() > 240 and mask[:, 70:].max() < 15
    for which, error in (("before1", NotFound), ("before9", DanluError), ("../x", DanluError), ("", DanluError)):
        with pytest.raises(error):
            looks.thumbnail(pairs, 0, 128, which)
    with pytest.raises(NotFound):
        looks.thumbnail(pairs, 1, 128)


def test_made_once_until_the_file_changes(pairs: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    whole = looks.open_rgb

    def counted(path: Path, at_least: int | None = None) -> Image.Image:
        made.append(path)
        return whole(path, at_least)

    monkeypatch.setattr(looks, "open_rgb", counted)
    first = looks.thumbnail(pairs, 0, 256).content
    assert looks.thumbnail(pairs, 0, 250).content == first and len(made) == 1
    sets.picture(pairs.now[0].path, 100, (320, 640))
    assert seen(looks.thumbnail(pairs, 0, 256)).size == (128, 256) and len(made) == 2


def test_the_memory_of_small_ones_is_bounded() -> None:
    kept = Kept(most=100)
    for number in range(20):
        kept.put((number,), b"x" * 30)
        kept.get((17,))
    assert kept.size == 90 and kept.get((17,)) and kept.get((19,)) and kept.get((16,)) is None
    kept.put((19,), b"y" * 10)
    assert kept.size == 70


def test_photos_stand_upright(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (64, 32), (200, 0, 0)).save(tmp_path / "cats" / "1.jpg", exif=turned)
    opened = sets.opened(tmp_path / "cats")
    assert opened.now[0].size == (64, 32)
    assert seen(looks.thumbnail(opened, 0, 128)).size == (32, 64)


def test_whole_ones(pairs: Opened, tmp_path: Path) -> None:
    assert looks.whole(pairs, 0) == looks.Shown("image/png", file=tmp_path / "cats" / "1.png")
    before = looks.whole(pairs, 0, "before0")
    assert before.file is None and seen(before).size == (640, 320), "of another folder: as a picture only"
    assert seen(looks.whole(pairs, 0, "mask")).getpixel((10, 10)) == 255
    tiff = tmp_path / "other" / "1.tiff"
    tiff.parent.mkdir()
    Image.new("RGB", (64, 32)).save(tiff)
    assert looks.whole(sets.opened(tiff.parent), 0).kind == "image/jpeg"
    with pytest.raises(NotFound, match="no video"):
        looks.whole(pairs, 0, "video")


def test_an_alpha_channel_as_a_mask(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    image = Image.new("RGBA", (64, 64), (200, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 32, 64))
    image.save(tmp_path / "cats" / "1.png")
    opened = sets.opened(tmp_path / "cats", mask_source="alpha")
    for mask in (seen(looks.thumbnail(opened, 0, 128, "mask")), seen(looks.whole(opened, 0, "mask"))):
        assert mask.getpixel((5, 5)) == 0 and mask.getpixel((60, 5)) == 255


def test_videos_show_their_first_frame(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    film(tmp_path / "cats" / "1.mp4")
    opened = sets.opened(tmp_path / "cats")
    height, width = opened.now[0].size
    assert seen(looks.thumbnail(opened, 0, 1024)).size == (width, height)
    assert looks.whole(opened, 0).kind == "image/jpeg"
    assert looks.whole(opened, 0, "video") == looks.Shown("video/mp4", file=tmp_path / "cats" / "1.mp4")


def test_what_a_file_is_called_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "cats" / "1.png", "JPEG")
    assert looks.whole(sets.opened(tmp_path / "cats"), 0).kind == "image/jpeg"


def test_what_has_become_something_else_is_not_handed_out(pairs: Opened) -> None:
    pairs.now[0].path.write_text("<script>alert(1)</script>")
    for show in (lambda: looks.whole(pairs, 0), lambda: looks.thumbnail(pairs, 0, 256)):
        with pytest.raises(NotFound, match="cannot be read any more"):
            show()
    pairs.now[0].path.unlink()
    with pytest.raises(NotFound):
        looks.thumbnail(pairs, 0, 256)


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_that_lead_outside_give_no_bytes_of_that_file(tmp_path: Path) -> None:
    outside = sets.picture(tmp_path / "private" / "photo.png")
    (tmp_path / "cats" / "below").mkdir(parents=True)
    (tmp_path / "cats" / "1.png").symlink_to(outside)
    opened = sets.opened(tmp_path / "cats")
    assert looks.whole(opened, 0).file is None, "as the loader reads it: as a picture"
    outside.write_text("a secret")
    with pytest.raises(NotFound):
        looks.whole(opened, 0)
