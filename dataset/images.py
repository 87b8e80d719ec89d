"""Opening pictures of every kind as upright 8-bit RGB."""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from . import known
from .files import file_stat, why_unread

IMAGE_SUFFIXES = (".png", ".apng", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".gif")
VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "AVIF", "GIF")
"""Whatever a file is called, Pillow tries no other: some of them run programs (EPS)."""
MIN_SIDE = 8
"""Below this there is not one latent pixel."""
ORIENTATION_TAG = 0x0112
LYING = (5, 6, 7, 8)
LARGE = 64_000_000
"""Pixels, from which on a picture has to have bytes for them."""
MOST_PIXELS_PER_BYTE = 200
"""A photo has less than 20, a flat drawing less than 100. Files made to fill the memory have up to 8,000."""
BACKGROUND = (255, 255, 255)
SHEET_BACKGROUND = (32, 32, 36)


class UnreadableImage(ValueError):
    """Says why a picture cannot be used."""


@dataclass(frozen=True)
class Probe:
    """What is known of a picture without keeping it in memory."""

    size: tuple[int, int]
    """(height, width), upright."""
    animated: bool


def probe(path: Path) -> Probe:
    """Size of a picture, after decoding all of it, so that a file cut off does not fail in the middle of work."""
    stamp = known.stamp_of(file_stat(path))
    return (_probe if stamp.settled else _probe.__wrapped__)(path, stamp)


@lru_cache(maxsize=100_000)
def _probe(path: Path, stamp: known.Stamp) -> Probe:
    fact = known.get("picture", str(path), stamp)
    if fact is not None:
        height, width, animated = (int(value) for value in fact.split())
        return Probe((height, width), bool(animated))
    found = _looked_at(path, stamp.length)
    known.put("picture", str(path), stamp, f"{found.size[0]} {found.size[1]} {int(found.animated)}")
    return found


def _looked_at(path: Path, length: int) -> Probe:
    if length == 0:
        raise UnreadableImage("the file is empty")
    try:
        with opened(path) as image:
            size = image.size
            animated = bool(getattr(image, "is_animated", False)) and image.format != "MPO"
            drafted = image.draft("RGB", (size[0] // 8, size[1] // 8))  # JPEG only: reads all, computes little
            image.load()
            width, height = size if drafted else image.size  # Pillow turns a TIFF by itself
            if image.getexif().get(ORIENTATION_TAG) in LYING:
                width, height = height, width
    except Exception as error:
        raise reason(error) from error
    return Probe((height, width), animated)


def open_rgb(path: Path, at_least: int | None = None) -> Image.Image:
    """The upright picture as 8-bit RGB; what is transparent becomes white. Of a video, the first frame.

    With `at_least` a JPEG may come smaller, by a power of two, when its sides stay above that: much faster.
    """
    if path.suffix.lower() in VIDEO_SUFFIXES:
        from .clips import first_frame

        return first_frame(path)
    try:
        with opened(path) as image:
            if at_least:
                image.draft("RGB", (at_least, at_least))
            image.load()
            ImageOps.exif_transpose(image, in_place=True)  # else it copies a picture that is upright already
            return _rgb(image)
    except Exception as error:
        raise reason(error) from error


def opened(path: Path) -> Image.Image:
    """Lazily; raises OSError, UnreadableImage or what Pillow does."""
    length = file_stat(path).st_size
    with warnings.catch_warnings():  # a large picture is no news; far too large ones raise
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(path, formats=_formats())
    pixels = image.width * image.height
    if pixels > LARGE and pixels > MOST_PIXELS_PER_BYTE * length:
        image.close()
        raise UnreadableImage(f"{pixels // 1_000_000} megapixels in {length >> 10} KB: no photo. Make it smaller")
    return image


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    """Of `FORMATS`, those that this Pillow was built with."""
    Image.init()
    return tuple(known for known in FORMATS if known in Image.OPEN)


def reason(error: Exception) -> UnreadableImage:
    if isinstance(error, UnreadableImage):
        return error
    if isinstance(error, UnidentifiedImageError):
        return UnreadableImage("not a picture, or of a kind that this Pillow cannot read")
    if isinstance(error, Image.DecompressionBombError):
        return UnreadableImage("too many pixels; make it smaller")
    if isinstance(error, OSError) and "truncated" in str(error):
        return UnreadableImage("the file is cut off")
    if isinstance(error, OSError) and error.errno is not None:
        return UnreadableImage(why_unread(error))
    return UnreadableImage(f"broken: {error}" if str(error) else f"broken: {type(error).__name__}")


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_deep_grey(image)
    if image.mode in ("RGBa", "La"):
        image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
    opaque = _composited(image) if image.mode == "RGBA" else image
    return _to_srgb(opaque, image.info.get("icc_profile")).convert("RGB")


def _composited(image: Image.Image) -> Image.Image:
    """Over white, before any resizing: hidden colours of transparent pixels never reach their neighbours."""
    white = Image.new("RGBA", image.size, (*BACKGROUND, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """16-bit and floating point grey: scaled, where Pillow's own conversion would clip to white."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    top = float(values.max(initial=0))
    if image.mode.startswith("I;16") or 255 < top <= 65535:
        scale = 255 / 65535
    elif image.mode == "F" and top <= 1:
        scale = 255.0
    else:
        scale = 255 / top if top > 255 else 1.0
    grey = np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Colours as picture viewers show them; matters for print (CMYK) files and phones' wide-gamut photos."""
    if not profile or image.mode not in ("RGB", "CMYK", "L"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return converted or image


def contact_sheet(paths: list[Path], side: int = 192, limit: int = 16) -> Image.Image:
    """Small versions of the first pictures, in a grid."""
    shown = paths[:limit]
    columns = math.ceil(math.sqrt(len(shown)))
    rows = math.ceil(len(shown) / columns)
    sheet = Image.new("RGB", (columns * side, rows * side), SHEET_BACKGROUND)
    for index, path in enumerate(shown):
        small = ImageOps.contain(open_rgb(path, at_least=side), (side - 6, side - 6), Image.Resampling.LANCZOS)
        left, top = index % columns * side, index // columns * side
        sheet.paste(small, (left + (side - small.width) // 2, top + (side - small.height) // 2))
    return sheet
