"""The pictures of a dataset for the eye: small ones made as they are asked for, and whole ones.

Only files that the dataset names are ever opened, and always as pictures: a file is handed out as it is on disk only
where it lies in the dataset's own folder and is of a kind that browsers show.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from ...dataset.files import file_stat
from ...dataset.images import UnreadableImage, open_rgb, opened
from ...dataset.masks import open_mask
from ...dataset.model import Picture
from ...errors import DanluError
from ..errors import NotFound
from ..kept import Kept, fitting
from .open import Opened

SIDES = (128, 256, 512, 1024)
"""Of thumbnails."""
QUALITY, FULL_QUALITY = 82, 92
BROWSERS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif", "AVIF": "image/avif"}
VIDEOS = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm"}


@dataclass(frozen=True)
class Shown:
    """A picture's bytes, or the file that they are in."""

    kind: str
    content: bytes = b""
    file: Path | None = None


_kept = Kept()


def thumbnail(opened_: Opened, n: int, side: int, which: str = "picture") -> Shown:
    """JPEG, its longer side at most the next of `SIDES`. Raises NotFound, also for a file that is gone."""
    picture = opened_.picture(n)
    return small(_named(picture, which), side, mask=which == "mask")


def small(picture: Picture, side: int, mask: bool = False) -> Shown:
    """The picture's own file, or its mask."""
    side = fitting(side, SIDES)
    path = _there(picture, mask)
    try:
        found = file_stat(path)
    except OSError:
        raise NotFound(f"{picture.name} is not there any more") from None
    key = (str(path), found.st_mtime_ns, found.st_size, side, mask)
    return Shown("image/jpeg", _kept.made(key, lambda: _small(picture, mask, side)))


def _small(picture: Picture, mask: bool, side: int) -> bytes:
    image = _image(picture, mask, side)
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return _jpeg(image, QUALITY)


def whole(opened_: Opened, n: int, which: str = "picture") -> Shown:
    """In full size: the file itself where a browser shows it, else a JPEG (of a mask a PNG).

    `which` "video": the file of a video, of the kinds that browsers play.
    """
    picture, folder = opened_.picture(n), opened_.part(n).folder
    if which == "video":
        return _video(picture, folder)
    named, mask = _named(picture, which), which == "mask"
    path = _there(named, mask)
    alpha = mask and path == named.path
    if not alpha and not named.clip and _lies_in(path, folder) and (kind := _browser_kind(path)):
        return Shown(kind, file=path)
    image = _image(named, mask, None)
    if not mask:
        return Shown("image/jpeg", _jpeg(image, FULL_QUALITY))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return Shown("image/png", buffer.getvalue())


def _named(picture: Picture, which: str) -> Picture:
    """The picture, or one of its befores as a picture of its own."""
    if which in ("picture", "mask"):
        return picture
    number = which.removeprefix("before")
    if not which.startswith("before") or number not in ("0", "1", "2"):
        raise DanluError(f"which is {which!r}; it can be picture, mask, before0, before1 or before2.")
    if int(number) >= len(picture.befores):
        raise NotFound(f"{picture.name} has no {which}")
    path = picture.befores[int(number)]
    return replace(picture, path=path, name=path.name, mask=None, clip=None, befores=())


def _there(picture: Picture, mask: bool) -> Path:
    if mask and picture.mask is None:
        raise NotFound(f"{picture.name} has no mask")
    return picture.mask if mask and picture.mask else picture.path


def _image(picture: Picture, mask: bool, side: int | None) -> Image.Image:
    try:
        return open_mask(picture) if mask else open_rgb(picture.path, at_least=side)
    except UnreadableImage as error:
        raise NotFound(f"{picture.name} cannot be read any more: {error}") from None
    except OSError as error:
        raise NotFound(f"{picture.name} cannot be read any more: {error.strerror}") from None


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _lies_in(path: Path, folder: Path) -> bool:
    """No link on the way leads elsewhere, and the file itself is none."""
    return not path.is_symlink() and path.resolve().is_relative_to(folder.resolve())


def _browser_kind(path: Path) -> str | None:
    """By what is in the file, whatever it is called; None: to be converted, or not to be read at all."""
    try:
        with opened(path) as image:
            return BROWSERS.get(image.format or "")
    except Exception:  # as a picture it is opened once more, which tells what is wrong
        return None


def _video(picture: Picture, folder: Path) -> Shown:
    kind = VIDEOS.get(picture.path.suffix.lower())
    if not picture.clip or kind is None or not _lies_in(picture.path, folder) or not picture.path.is_file():
        raise NotFound(f"{picture.name} is no video that browsers play")
    return Shown(kind, file=picture.path)
