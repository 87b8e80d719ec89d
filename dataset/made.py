"""A dataset out of pictures that are in memory: what other nodes made."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import DanluError
from .captions import clean_trigger, cut, one_line, with_trigger
from .images import MIN_SIDE, UnreadableImage, open_rgb
from .joining import checked_weight
from .masks import checked_masks, open_mask
from .model import ROLES, Dataset, Picture, Report, counted

EMPTY_MASK = (64, 64)
"""What the host's loader gives as the mask of a picture that has none: zeros of this size."""
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Labels:
    """What the user says about the pictures."""

    name: str = ""
    trigger: str = ""
    repeats: int = 1
    role: str = "train"
    class_word: str = ""
    weight: float = 1.0


def dataset_of_images(
    images: Sequence[np.ndarray], captions: Sequence[str], masks: Sequence[np.ndarray], into: Path, labels: Labels
) -> Dataset:
    """`images`: (height, width, 1, 3 or 4) in 0..1; `masks`: (height, width), 1 where the loss counts.

    `captions` and `masks`: one for each image, one for all, or none. The pictures are written into a folder below
    `into` that is named by their content, so that the same pictures are the same files, written once.
    """
    _check(images, captions, masks, labels)
    pixels = [_bytes_of(image) for image in images]
    whites = [None if _is_no_mask(mask) else _bytes_of(mask[..., None]) for mask in _for_all(masks, len(images))]
    folder = _written(pixels, whites, into, labels.name)
    texts = [one_line(text) for text in _for_all(captions, len(images))] or [""] * len(images)
    trigger = clean_trigger(labels.trigger)
    pictures, shortened = [], []
    for number, (image, text) in enumerate(zip(pixels, texts, strict=True), 1):
        name = _file_name(number)
        caption, how = cut(with_trigger(text, trigger))
        shortened += [(name, how)] if how else []
        mask = folder / "masks" / name if whites and whites[number - 1] is not None else None
        pictures.append(Picture(folder / name, name, image.shape[:2], caption, labels.repeats, mask, body=text))
    without = tuple(p.name for p in pictures if not p.body) if captions else ()
    report = Report(
        images=len(pictures),
        captioned=sum(1 for picture in pictures if picture.body),
        repeats=tuple(picture.repeats for picture in pictures),
        trigger=trigger,
        without_caption=without,
        stand_in="they get the trigger alone" if trigger else "there is no trigger either: they get an empty prompt",
        cut=tuple(shortened),
        notes=(*checked_masks(pictures), f"Written to {folder}"),
    )
    whole = tuple(pictures)
    return Dataset(folder, whole, trigger, report, labels.role, one_line(labels.class_word), weight=labels.weight)


def _check(images: Sequence[np.ndarray], captions: Sequence[str], masks: Sequence[np.ndarray], labels: Labels) -> None:
    if not images:
        raise DanluError("The input 'images' holds no image. Wire a node that gives at least one.")
    for name, values in (("captions", captions), ("masks", masks)):
        if len(values) not in (0, 1, len(images)):
            raise DanluError(
                f"The input '{name}' holds {len(values)} {name}, but there are {counted(len(images), 'image')}. "
                "Give one for each, or one for all."
            )
    for number, image in enumerate(images, 1):
        if image.ndim != 3 or image.shape[2] not in MODES:
            raise DanluError(f"The input 'images': image {number} has the shape {image.shape}, which is no picture.")
        if min(image.shape[:2]) < MIN_SIDE:
            height, width = image.shape[:2]
            raise DanluError(f"The input 'images': image {number} is {width}x{height}, too small. Leave it out.")
        if not np.isfinite(image).all():
            raise DanluError(
                f"The input 'images': image {number} holds values that are not numbers. Look at the node before this "
                "one: a VAE in 16-bit floats, say, gives such."
            )
    if labels.role not in ROLES:
        raise DanluError(f"The input 'role' is {labels.role!r}; it can be one of {', '.join(ROLES)}.")
    checked_weight(labels.weight)


def _is_no_mask(mask: np.ndarray) -> bool:
    return mask.shape == EMPTY_MASK and not mask.any()


def _for_all(values: Sequence, count: int) -> list:
    return list(values) * count if len(values) == 1 else list(values)


def _bytes_of(image: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(np.asarray(image, dtype=np.float32), 0, 1) * 255).astype(np.uint8)


def _file_name(number: int) -> str:
    return f"{number:05}.png"


def _written(pixels: Sequence[np.ndarray], masks: Sequence[np.ndarray | None], into: Path, name: str) -> Path:
    """Complete or not at all; what is there already is the same."""
    place = into / f"{_safe(name)}-{_digest(pixels, masks)[:16]}"
    if place.is_dir():
        return place
    try:
        into.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="making-", dir=into))
        try:
            (work / "masks").mkdir()
            for number, image in enumerate(pixels, 1):
                _save(image, work / _file_name(number))
            for number, mask in enumerate(masks, 1):
                if mask is not None:
                    _save(mask, work / "masks" / _file_name(number))
            os.replace(work, place)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        if not place.is_dir():  # else another run was faster
            raise DanluError(
                f"The pictures cannot be written to {into} ({error.strerror}). Make room on that disk, or check who "
                "may write there."
            ) from error
    return place


def _save(image: np.ndarray, path: Path) -> None:
    flat = image[..., 0] if image.shape[2] == 1 else image
    Image.fromarray(flat, MODES[image.shape[2]]).save(path, compress_level=1)


def _digest(pixels: Sequence[np.ndarray], masks: Sequence[np.ndarray | None]) -> str:
    digest = hashlib.sha256()
    for image in (*pixels, *masks):
        digest.update(str(None if image is None else image.shape).encode())
        digest.update(b"" if image is None else np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def _safe(name: str) -> str:
    return re.sub(r"[^\w-]+", "_", one_line(name))[:40].strip("_") or "images"


def chosen(dataset: Dataset, start: int, count: int) -> list[Picture]:
    """Up to `count` pictures of all parts from `start` on, counted from 0. Raises DanluError where there is none."""
    every = [picture for part in dataset.parts() for picture in part.pictures]
    if not 0 <= start < len(every):
        raise DanluError(
            f"The input 'start' is {start}, but the dataset has {counted(len(every), 'image')}: give 0 to "
            f"{len(every) - 1}."
        )
    if count < 1:
        raise DanluError(f"The input 'count' is {count}: give 1 or more.")
    return every[start : start + count]


def opened_pictures(pictures: Sequence[Picture]) -> Iterator[tuple[Image.Image, Image.Image]]:
    """Each upright RGB picture with its mask in the same size, grey; white all over where it has none."""
    for picture in pictures:
        try:
            image = open_rgb(picture.path)
            mask = open_mask(picture).resize(image.size) if picture.mask else Image.new("L", image.size, 255)
        except UnreadableImage as error:
            raise DanluError(
                f"The picture {picture.name} of {picture.path.parent} cannot be read any more ({error}). Queue again."
            ) from error
        yield image, mask


def check_memory(pictures: Sequence[Picture], most_bytes: int) -> None:
    """Before any is opened: as IMAGE, a pixel takes 12 bytes."""
    needed = sum(height * width * 12 for height, width in (picture.size for picture in pictures))
    if needed > most_bytes:
        fitting = max(1, int(len(pictures) * most_bytes / needed))
        raise DanluError(
            f"{counted(len(pictures), 'image')} would take {needed / (1 << 30):.1f} GB of memory at once. Lower the "
            f"input 'count' to {fitting} or less, and take the others with 'start' in other runs."
        )
