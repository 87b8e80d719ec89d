"""Every kind of file that users bring, by the values of its pixels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from danlu.dataset.images import open_rgb, probe
from danlu.dataset.model import FolderRequest
from danlu.dataset.scan import load_folder

from .films import film, shade

QUARTERS = np.array([[(230, 20, 30), (20, 200, 40)], [(30, 40, 220), (240, 240, 240)]], dtype=np.uint8)
"""Red, green; blue, white: each turn and each mirror image of it is another picture."""
FAST: dict[str, dict[str, int]] = {"avif": {"speed": 10, "max_threads": 1}, "webp": {"method": 0}}
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def quarters(height: int = 64, width: int = 96) -> np.ndarray:
    """(height, width, 3) in four plain quarters."""
    return np.repeat(np.repeat(QUARTERS, height // 2, axis=0), width // 2, axis=1)


def corners(path: Path) -> np.ndarray:
    """(2, 2, 3): a value inside of each quarter."""
    image = open_rgb(path)
    assert image.mode == "RGB" and probe(path).size == (image.height, image.width)
    pixels = np.asarray(image, dtype=int)
    rows, columns = (image.height // 4, image.height * 3 // 4), (image.width // 4, image.width * 3 // 4)
    return pixels[np.ix_(rows, columns)]


def assert_near(found: np.ndarray, expected: np.ndarray, tolerance: int) -> None:
    assert np.abs(found - expected.astype(int)).max() <= tolerance, found.tolist()


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("png", {}, 0),
        ("bmp", {}, 0),
        ("tiff", {}, 0),
        ("tif", {"compression": "tiff_lzw"}, 0),
        ("tif", {"compression": "jpeg", "quality": 95}, 6),
        ("jpg", {"quality": 95}, 6),
        ("jpeg", {"quality": 95, "progressive": True}, 6),
        ("jfif", {"quality": 95, "subsampling": 0, "format": "JPEG"}, 6),
        ("webp", {"lossless": True}, 0),
        ("webp", {"quality": 95}, 8),
        pytest.param("avif", {"quality": 95, **FAST["avif"]}, 8, marks=needs_avif),
        ("gif", {}, 0),
    ],
)
def test_plain(tmp_path: Path, kind: str, options: dict[str, object], tolerance: int) -> None:
    path = tmp_path / f"a.{kind}"
    Image.fromarray(quarters()).save(path, **options)  # type: ignore[arg-type]
    assert_near(corners(path), QUARTERS, tolerance)
    assert not probe(path).animated


TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}
"""How a camera stores an upright picture that it tags with this number (EXIF 2.32, Orientation)."""


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tiff", pytest.param("avif", marks=needs_avif)])
def test_every_rotation_of_cameras(tmp_path: Path, orientation: int, kind: str) -> None:
    stored = Image.fromarray(np.ascontiguousarray(TURNED[orientation](quarters())))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{kind}"
    stored.save(path, exif=exif, **({} if kind in ("png", "tiff") else {"quality": 95, **FAST.get(kind, {})}))
    assert probe(path).size == (64, 96)
    assert_near(corners(path), QUARTERS, 8)
    dataset = load_folder(FolderRequest(str(tmp_path)))
    assert dataset.pictures[0].size == (64, 96)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_a_rotation_that_means_nothing(tmp_path: Path, value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    Image.fromarray(quarters()).save(tmp_path / "a.jpg", exif=exif, quality=95)
    assert probe(tmp_path / "a.jpg").size == (64, 96)
    assert_near(corners(tmp_path / "a.jpg"), QUARTERS, 6)


def png16(path: Path, values: np.ndarray, colour_type: int) -> None:
    """Pillow cannot write 16-bit colour. Colour types: 0 grey, 2 RGB, 4 grey + alpha, 6 RGBA (PNG 11.2.2)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_sixteen_bit_colour_png(tmp_path: Path) -> None:
    png16(tmp_path / "a.png", quarters().astype(np.uint16) * 257, 2)
    assert_near(corners(tmp_path / "a.png"), QUARTERS, 1)


def test_sixteen_bit_colour_png_with_alpha(tmp_path: Path) -> None:
    alpha = np.full((64, 96, 1), 65535, dtype=np.uint16)
    alpha[:32, :48] = 0
    png16(tmp_path / "a.png", np.concatenate([quarters().astype(np.uint16) * 257, alpha], axis=2), 6)
    expected = QUARTERS.copy()
    expected[0, 0] = 255
    assert_near(corners(tmp_path / "a.png"), expected, 1)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("value", [0, 200, 9000, 65535])
def test_sixteen_bit_grey_png(tmp_path: Path, value: int, alpha: bool) -> None:
    """Also dark ones: 200 of 65535 is black, not light grey."""
    values = np.full((16, 16, 2 if alpha else 1), 65535, dtype=np.uint16)
    values[..., 0] = value
    png16(tmp_path / "a.png", values, 4 if alpha else 0)
    assert_near(np.asarray(open_rgb(tmp_path / "a.png"), dtype=int), np.array(round(value / 257)), 1)


def tiff16(path: Path, values: np.ndarray) -> None:
    """16-bit RGB, which Pillow reads and does not write: one strip, little-endian (TIFF 6.0, section 6)."""
    height, width, bands = values.shape
    data = values.astype("<u2").tobytes()
    entries = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 0), (259, 3, 1, 1), (262, 3, 1, 2)),
        *((273, 4, 1, 0), (277, 3, 1, bands), (278, 4, 1, height), (279, 4, 1, len(data))),
    ]
    end = 8 + 2 + 12 * len(entries) + 4
    places = {258: end, 273: end + 6}
    fields = b"".join(struct.pack("<HHII", t, k, n, places.get(t, v)) for t, k, n, v in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + struct.pack("<I", 0)
    path.write_bytes(head + struct.pack("<HHH", 16, 16, 16) + data)


def test_sixteen_bit_colour_tiff(tmp_path: Path) -> None:
    tiff16(tmp_path / "a.tif", quarters().astype(np.uint16) * 257)
    assert_near(corners(tmp_path / "a.tif"), QUARTERS, 1)


@pytest.mark.parametrize("big", [False, True])
def test_sixteen_bit_grey_tiff(tmp_path: Path, big: bool) -> None:
    values = np.full((16, 16), 200, dtype=np.uint16)
    values[8:] = 51400
    image = Image.frombytes("I;16B", (16, 16), values.astype(">u2").tobytes()) if big else Image.fromarray(values)
    image.save(tmp_path / "a.tiff")
    pixels = np.asarray(open_rgb(tmp_path / "a.tiff"), dtype=int)
    assert_near(pixels[2], np.array(1), 1)
    assert_near(pixels[12], np.array(200), 1)


def test_pages_of_a_tiff_give_the_first(tmp_path: Path) -> None:
    pages = [Image.fromarray(quarters()), Image.new("RGB", (96, 64), (0, 0, 0))]
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:])
    assert_near(corners(tmp_path / "a.tiff"), QUARTERS, 0)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    inks = np.zeros((64, 96, 4), dtype=np.uint8)
    inks[:32, :48] = (0, 255, 255, 0)  # red
    inks[:32, 48:] = (255, 0, 255, 0)  # green
    inks[32:, :48] = (0, 0, 0, 255)  # black
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.jpg", quality=95)
    assert_near(corners(tmp_path / "a.jpg"), np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 0), (255, 255, 255)]]), 16)


def test_cmyk_and_lab_tiff(tmp_path: Path) -> None:
    Image.fromarray(quarters()).convert("CMYK").save(tmp_path / "a.tif")
    assert_near(corners(tmp_path / "a.tif"), QUARTERS, 2)
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(Image.fromarray(quarters()), to_lab)
    assert lab is not None
    lab.save(tmp_path / "b.tif")
    assert_near(corners(tmp_path / "b.tif"), QUARTERS, 12)


def test_palette_with_a_transparency_for_each_colour(tmp_path: Path) -> None:
    indices = np.zeros((32, 32), dtype=np.uint8)
    indices[:, 16:] = 1
    image = Image.fromarray(indices, "P")
    image.putpalette([250, 0, 250, 10, 20, 30])
    image.save(tmp_path / "a.png", transparency=bytes([0, 255]))
    pixels = np.asarray(open_rgb(tmp_path / "a.png"))
    assert pixels[4, 4].tolist() == [255, 255, 255] and pixels[4, 28].tolist() == [10, 20, 30]


def test_a_gif_with_a_transparent_colour(tmp_path: Path) -> None:
    indices = np.zeros((32, 32), dtype=np.uint8)
    indices[:, 16:] = 1
    image = Image.fromarray(indices, "P")
    image.putpalette([250, 0, 250, 10, 20, 30])
    image.save(tmp_path / "a.gif", transparency=0)
    pixels = np.asarray(open_rgb(tmp_path / "a.gif"))
    assert pixels[4, 4].tolist() == [255, 255, 255] and pixels[4, 28].tolist() == [10, 20, 30]


@pytest.mark.parametrize("kind", ["webp", "tiff", "png", pytest.param("avif", marks=needs_avif)])
def test_half_transparent(tmp_path: Path, kind: str) -> None:
    image = Image.new("RGBA", (32, 32), (0, 0, 0, 128))
    image.save(tmp_path / f"a.{kind}", **({"lossless": True} if kind == "webp" else FAST.get(kind, {})))
    assert_near(np.asarray(open_rgb(tmp_path / f"a.{kind}"), dtype=int), np.array(127), 4)


@pytest.mark.parametrize("kind", ["gif", "webp", "png", "apng", pytest.param("avif", marks=needs_avif)])
def test_animations_give_their_first_frame(tmp_path: Path, kind: str) -> None:
    frames = [Image.fromarray(quarters()), Image.new("RGB", (96, 64), (0, 0, 0))]
    path = tmp_path / f"a.{kind}"
    form = "PNG" if kind == "apng" else None
    frames[0].save(path, format=form, save_all=True, append_images=frames[1:], **FAST.get(kind, {}))
    assert probe(path).animated
    assert_near(corners(path), QUARTERS, 12)


def test_a_phone_photo_with_a_second_picture_in_it(tmp_path: Path) -> None:
    """MPO: a JPEG with a depth map or a second eye behind it; no animation."""
    pages = [Image.fromarray(quarters()), Image.new("RGB", (96, 64), (0, 0, 0))]
    pages[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=pages[1:], quality=95)
    assert_near(corners(tmp_path / "a.jpg"), QUARTERS, 6)
    assert not probe(tmp_path / "a.jpg").animated


def test_wide_colours_are_brought_to_srgb(tmp_path: Path) -> None:
    """A profile whose red is not sRGB's red: the numbers must change, and white must stay white."""
    wide = ImageCms.ImageCmsProfile(_profile_with_gamma_one())
    Image.fromarray(quarters()).save(tmp_path / "a.png", icc_profile=wide.tobytes())
    found = corners(tmp_path / "a.png")
    assert_near(found[1, 1], np.array([248, 248, 248]), 3)
    assert found[0, 0, 1] > 60, "linear 20 is sRGB 79"


def _profile_with_gamma_one() -> ImageCms.core.CmsProfile:
    """sRGB's own profile with straight curves: the value of its `curv` tags becomes gamma 1.0."""
    import io

    raw = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for tag in (b"rTRC", b"gTRC", b"bTRC"):
        entry = raw.index(tag)
        offset = int.from_bytes(raw[entry + 4 : entry + 8], "big")
        raw[offset : offset + 12] = b"curv" + bytes(4) + (0).to_bytes(4, "big")  # no points: the identity
    raw = bytearray(bytes(raw).replace(b"s\0R\0G\0B", b"l\0i\0n\0e").replace(b"\0s\0R\0G\0B", b"\0l\0i\0n\0e"))
    return ImageCms.getOpenProfile(io.BytesIO(bytes(raw))).profile


@pytest.mark.parametrize("kind", ["mp4", "mov", "m4v", "mkv", "avi"])
def test_videos(tmp_path: Path, kind: str) -> None:
    film(tmp_path / f"a.{kind}", frames=9, size=(48, 64), fps=8)
    (picture,) = load_folder(FolderRequest(str(tmp_path))).pictures
    assert picture.size == (48, 64) and picture.clip is not None
    assert (picture.clip.frames, picture.clip.fps) == (9, 8)
    assert_near(np.asarray(open_rgb(picture.path), dtype=int)[24, 48], np.array(shade(0, 9)), 10)


def test_a_webm(tmp_path: Path) -> None:
    film(tmp_path / "a.webm", frames=5, codec="libvpx-vp9")
    (picture,) = load_folder(FolderRequest(str(tmp_path))).pictures
    assert picture.clip is not None and picture.clip.frames == 5


def test_pictures_and_videos_in_one_folder(tmp_path: Path) -> None:
    Image.fromarray(quarters()).save(tmp_path / "a.png")
    film(tmp_path / "b.mp4").with_suffix(".txt").write_text("it gets lighter")
    (tmp_path / "c.mp4").write_bytes(b"no video")
    (tmp_path / "d.webm").write_bytes(b"")
    (tmp_path / "e.mov").write_bytes((tmp_path / "b.mp4").read_bytes()[:300])
    dataset = load_folder(FolderRequest(str(tmp_path)))
    assert [(picture.name, picture.clip is not None) for picture in dataset.pictures] == [
        ("a.png", False),
        ("b.mp4", True),
    ]
    assert dataset.pictures[1].body == "it gets lighter"
    assert dataset.report.summary() == "1 image, 1 video, 1 caption, repeats 1, no trigger"
    skipped = dict(dataset.report.unreadable)
    assert set(skipped) == {"c.mp4", "d.webm", "e.mov"} and skipped["d.webm"] == "the file is empty"


def test_kinds_that_are_not_read_are_told(tmp_path: Path) -> None:
    Image.fromarray(quarters()).save(tmp_path / "a.png")
    for name in ("b.HEIC", "c.heic", "d.psd"):
        (tmp_path / name).write_bytes(b"x")
    assert "Left out, kinds that are not read: 2 .heic, 1 .psd. Save them as PNG or JPEG" in (
        load_folder(FolderRequest(str(tmp_path))).report.text()
    )
