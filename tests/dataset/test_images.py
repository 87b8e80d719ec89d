"""Pictures of every kind become upright 8-bit RGB; broken ones say why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from danlu.dataset.images import UnreadableImage, contact_sheet, open_rgb, probe

from .pictures import RED, noise, save

HALF = [("png", 0), ("jpg", 6), ("jpeg", 6), ("webp", 6), ("bmp", 0), ("tiff", 0), ("tif", 0), ("gif", 40)]


def colour_at(path: Path, x: int = 5, y: int = 5) -> tuple[int, ...]:
    image = open_rgb(path)
    assert image.mode == "RGB"
    return image.getpixel((x, y))


@pytest.mark.parametrize(("kind", "tolerance"), HALF)
def test_formats(tmp_path: Path, kind: str, tolerance: int) -> None:
    path = save(tmp_path / f"a.{kind}")
    assert probe(path).size == (80, 96)
    assert np.abs(np.subtract(colour_at(path), RED)).max() <= tolerance


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif(tmp_path: Path) -> None:
    path = save(tmp_path / "a.avif")
    assert probe(path).size == (80, 96)
    assert np.abs(np.subtract(colour_at(path), RED)).max() <= 6


def test_rotation_of_cameras(tmp_path: Path) -> None:
    image = Image.new("RGB", (96, 80), (0, 0, 0))
    image.paste(RED, (0, 0, 10, 10))
    exif = image.getexif()
    exif[0x0112] = 6  # shown turned by 90 degrees
    image.save(tmp_path / "a.png", exif=exif)
    assert probe(tmp_path / "a.png").size == (96, 80)
    upright = open_rgb(tmp_path / "a.png")
    assert upright.size == (80, 96)
    assert upright.getpixel((78, 2)) == RED


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_is_white_whatever_colour_hides_there(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (32, 32), (255, 0, 255, 0))  # loud, but invisible
    image.paste((10, 10, 10, 255), (0, 0, 8, 8))
    if mode == "P":
        image = image.quantize()
    image = image.convert(mode) if mode == "LA" else image
    image.save(tmp_path / "a.png")
    assert colour_at(tmp_path / "a.png", 20, 20) == (255, 255, 255)
    assert max(colour_at(tmp_path / "a.png", 2, 2)) < 40


def test_half_transparent_blends_with_white(tmp_path: Path) -> None:
    save(tmp_path / "a.png", colour=(0, 0, 0, 128), mode="RGBA")
    assert all(abs(value - 127) <= 1 for value in colour_at(tmp_path / "a.png"))


def test_transparent_colour_of_a_plain_png(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), (0, 255, 0)).save(tmp_path / "a.png", transparency=(0, 255, 0))
    assert colour_at(tmp_path / "a.png") == (255, 255, 255)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((32, 32), 32768, dtype=np.uint16)).save(tmp_path / "a.png")
    assert colour_at(tmp_path / "a.png") == (128, 128, 128)
    Image.fromarray(np.full((32, 32), 32768, dtype=np.uint16)).save(tmp_path / "a.tiff")
    assert colour_at(tmp_path / "a.tiff") == (128, 128, 128)


def test_floating_point_tiff(tmp_path: Path) -> None:
    values = np.full((32, 32), 0.5, dtype=np.float32)
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "a.tiff")
    assert colour_at(tmp_path / "a.tiff") == (128, 128, 128)


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (32, 32), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    red, green, blue = colour_at(tmp_path / "a.jpg")
    assert red > 240 and green < 15 and blue < 15


@pytest.mark.parametrize(("mode", "colour"), [("1", 1), ("L", 255)])
def test_black_and_white(tmp_path: Path, mode: str, colour: int) -> None:
    Image.new(mode, (32, 32), colour).save(tmp_path / "a.png")
    assert colour_at(tmp_path / "a.png") == (255, 255, 255)


def test_colour_profile(tmp_path: Path) -> None:
    """What a viewer shows. An sRGB profile changes nothing, and a broken one is not minded."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (32, 32), RED).save(tmp_path / "a.png", icc_profile=srgb)
    Image.new("RGB", (32, 32), RED).save(tmp_path / "b.png", icc_profile=b"nonsense")
    assert colour_at(tmp_path / "a.png") == RED
    assert colour_at(tmp_path / "b.png") == RED


def test_animations_give_their_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in (RED, (0, 255, 0))]
    for kind in ("gif", "webp", "png"):
        path = tmp_path / f"a.{kind}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        assert probe(path).animated
        assert np.abs(np.subtract(colour_at(path), RED)).max() <= 8


def test_the_content_counts_not_the_file_name(tmp_path: Path) -> None:
    save(tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert colour_at(tmp_path / "a.jpg") == RED


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_a_file_cut_off_is_found_before_any_work(tmp_path: Path, kind: str) -> None:
    path = noise(tmp_path / f"a.{kind}", (400, 300))
    path.write_bytes(path.read_bytes()[:-2000])
    for use in (probe, open_rgb):
        with pytest.raises(UnreadableImage):
            use(path)


@pytest.mark.parametrize(
    ("content", "why"), [(b"", "empty"), (b"hello", "not a picture"), (b"\x89PNG\r\n\x1a\n0000", "a picture|broken")]
)
def test_broken_files_say_why(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=why):
        probe(path)


def test_far_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UnreadableImage, match="too many pixels"):
        probe(save(tmp_path / "a.png"))


def test_a_replaced_file_is_looked_at_again(tmp_path: Path) -> None:
    assert probe(save(tmp_path / "a.png")).size == (80, 96)
    assert probe(save(tmp_path / "a.png", (64, 40))).size == (40, 64)


def test_contact_sheet(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{number}.png") for number in range(20)]
    assert contact_sheet(paths[:1], side=50).size == (50, 50)
    assert contact_sheet(paths[:5], side=50).size == (150, 100)
    assert contact_sheet(paths, side=50).size == (200, 200)
    assert contact_sheet(paths, side=50).getpixel((25, 25)) == RED
