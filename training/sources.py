"""Files as they are encoded: which one, in which size and crop, which of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..dataset import known
from ..dataset.clips import frames as frames_of
from ..dataset.files import file_digest
from ..dataset.images import UnreadableImage, open_rgb
from ..dataset.masks import open_mask
from ..dataset.model import Picture
from ..errors import DanluError
from .buckets import Fit
from .cache import digest

RECIPE = "1"
"""Part of every key: raise it when pictures are resized or encoded differently."""
GREY = 0.5
"""What follows a clip's first frame in what an image-to-video model is shown (WanImageToVideo)."""


@dataclass(frozen=True)
class Source:
    """One picture, or one part of a clip, as the VAE gets it."""

    path: Path
    content: str
    """Hash of the file's bytes."""
    fit: Fit
    frames: tuple[int, ...] = ()
    """Of a clip: their numbers, rising; empty for a picture."""

    def key(self, vae_identity: str, flipped: bool, start: bool = False) -> str:
        """Of its latent in the cache; `start`: of its first frame followed by grey."""
        fit = self.fit
        part = (*((self.frames,) if self.frames else ()), *(("start",) if start else ()))
        return digest(RECIPE, self.content, fit.resized, fit.crop, fit.target, flipped, vae_identity, *part)

    def pixels(self) -> Tensor:
        """(frames, height, width, 3), float32 in 0..1. Raises UnreadableImage, also where it was changed."""
        found = load_frames(self.path, self.fit, self.frames) if self.frames else load_pixels(self.path, self.fit)
        check_unchanged(self.path, self.content)
        return found


def content_key(path: Path) -> str:
    """Hash of a file's bytes."""
    try:
        stamp = known.stamp_of(path.stat())
        return (_content_key if stamp.settled else _content_key.__wrapped__)(path, stamp)
    except OSError as error:
        raise DanluError(f"The picture {path} cannot be read any more ({error.strerror}). Queue again.") from error


def check_unchanged(path: Path, content: str) -> None:
    """After reading: what is kept under the hash of what was there first must be of that. Raises UnreadableImage."""
    try:
        same = content_key(path) == content
    except DanluError:  # deleted
        same = False
    if not same:
        raise UnreadableImage("changed while pictures were encoded: queue again")


@lru_cache(maxsize=100_000)
def _content_key(path: Path, stamp: known.Stamp) -> str:
    found = known.get("sha256", str(path), stamp)
    if found is None:
        known.put("sha256", str(path), stamp, found := file_digest(path))
    return found


def load_pixels(path: Path, fit: Fit) -> Tensor:
    """(1, height, width, 3), float32 in 0..1."""
    return _fitted(open_rgb(path), fit)[None]


def load_frames(path: Path, fit: Fit, numbers: Sequence[int]) -> Tensor:
    """(frames, height, width, 3), float32 in 0..1; only what is trained is ever in memory."""
    pixels = torch.empty((len(numbers), *fit.target, 3))
    for place, frame in enumerate(frames_of(path, numbers)):
        pixels[place] = _fitted(frame, fit)
    return pixels


def first_and_grey(pixels: Tensor) -> Tensor:
    """A clip as long as `pixels` (frames, height, width, 3), of which only the first frame is shown."""
    shown = torch.full_like(pixels, GREY)
    shown[0] = pixels[0]
    return shown


def _fitted(image: Image.Image, fit: Fit) -> Tensor:
    height, width = fit.resized
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(image.crop(fit.box), dtype=np.float32) / 255.0)


def load_mask(picture: Picture, content: str, fit: Fit, size: Sequence[int]) -> Tensor:
    """(1, height, width) of a latent, float32 in 0..1: resized and cropped as its picture, then averaged.

    `content`: hash of the mask's bytes.
    """
    assert picture.mask is not None
    try:
        image = open_mask(picture)
        check_unchanged(picture.mask, content)
    except UnreadableImage as error:
        raise DanluError(f"The mask {picture.mask} cannot be used: {error}. Save it as a .png, queue again.") from error
    height, width = fit.resized
    cropped = image.resize((width, height), Image.Resampling.BOX).crop(fit.box)
    return adaptive_avg_pool2d(torch.from_numpy(np.asarray(cropped, dtype=np.float32) / 255.0)[None], tuple(size))
