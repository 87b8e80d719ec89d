"""Masks: which part of a picture is learned, white or opaque where it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..errors import DanluError
from . import known, paths
from .files import file_stat, why_unread
from .images import IMAGE_SUFFIXES, UnreadableImage, opened, probe, reason
from .listing import FoundFile, bare, by_bare_name, list_files, lone_names
from .model import FolderRequest, Picture, counted, listed

Progress = Callable[[int, int], None]
SAME_SHAPE = 0.02
"""How far the proportions of a mask may be from those of its picture."""


def with_masks(
    pictures: Sequence[Picture], request: FolderRequest, progress: Progress
) -> tuple[list[Picture], list[str]]:
    """The pictures with their masks, and what the user should know. Raises DanluError where none has one."""
    if request.mask_source == "none":
        return list(pictures), []
    if request.mask_source == "folder":
        masked = _from_folder(pictures, request)
    else:
        masked = [replace(picture, mask=picture.path if _has_alpha(picture) else None) for picture in pictures]
    without = [picture.name for picture in masked if picture.mask is None]
    if len(without) == len(masked):
        raise DanluError(_nothing(request))
    notes = [f"Without a mask, trained as a whole: {listed(without)}"] if without else []
    return masked, notes + checked_masks(masked, progress)


def mask_folder(request: FolderRequest) -> Path:
    if not request.mask_folder.strip():
        raise DanluError("The input 'mask_folder' is empty, but mask_source is folder. Type the folder with the masks.")
    found = paths.find(request.mask_folder, request.roots, "mask_folder")
    if not found.is_dir():
        raise DanluError(f"The input 'mask_folder': {found} is no folder. Give the folder with the masks.")
    return found


def open_mask(picture: Picture) -> Image.Image:
    """The upright mask, 8-bit grey, in the size of its own file."""
    assert picture.mask is not None
    try:
        with opened(picture.mask) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
    except Exception as error:
        raise reason(error) from error
    if picture.mask == picture.path:
        return upright.convert("RGBA").getchannel("A")
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        raise UnreadableImage("a mask must be an 8-bit picture")
    return upright.convert("RGB").convert("L")


def _from_folder(pictures: Sequence[Picture], request: FolderRequest) -> list[Picture]:
    """By path below the folder, or by name alone: masks often lie in one folder, whatever folders their pictures are
    in. A name that several pictures or masks have says nothing: a 001.png would get the mask of another 001.png."""
    images = [file for file in list_files(mask_folder(request), True) if file.suffix in IMAGE_SUFFIXES]
    found, flat = {file.stem: file for file in images}, by_bare_name(images)
    stems = [FoundFile(picture.path, picture.name, 1).stem for picture in pictures]
    lone = lone_names(stems)
    masked = []
    for picture, stem in zip(pictures, stems, strict=True):
        mask = found.get(stem) or (flat.get(bare(stem)) if bare(stem) in lone else None)
        masked.append(replace(picture, mask=mask.path if mask else None))
    return masked


def _has_alpha(picture: Picture) -> bool:
    if picture.clip:
        return False
    try:
        with opened(picture.path) as image:
            return bool(image.has_transparency_data)
    except Exception as error:
        raise DanluError(f"The picture {picture.path} cannot be read any more. Queue again.") from error


def _nothing(request: FolderRequest) -> str:
    if request.mask_source == "alpha":
        return (
            "mask_source is alpha, but no picture has an alpha channel. "
            "Save the pictures as .png with transparency, or choose folder or none."
        )
    return (
        f"No mask in {mask_folder(request)} is named like a picture. "
        "The mask of cat.png is cat.png (or cat.jpg, ...) in that folder."
    )


def checked_masks(pictures: Sequence[Picture], progress: Progress = lambda done, total: None) -> list[str]:
    """Raises DanluError for masks of another shape; names those of another size, and those that leave nothing."""
    resized, blank = [], []
    for number, picture in enumerate(pictures):
        progress(number, len(pictures))
        if picture.mask is None:
            continue
        try:
            height, width = probe(picture.mask).size
            nothing = _is_black(picture, picture.mask)
        except (UnreadableImage, OSError) as error:
            why = why_unread(error) if isinstance(error, OSError) else error
            raise DanluError(f"The mask {picture.mask} cannot be used: {why}. Save it again as a .png.") from error
        of_picture = picture.size[1] / picture.size[0]
        if abs(width / height / of_picture - 1.0) > SAME_SHAPE:
            shape = f"{width}x{height}"
            raise DanluError(
                f"The mask {picture.mask} is {shape}, but its picture {picture.name} is "
                f"{picture.size[1]}x{picture.size[0]}. Make the mask as large as its picture."
            )
        if (height, width) != picture.size:
            resized.append(picture.name)
        if nothing:
            blank.append(picture.name)
    notes = [f"Mask of another size, resized: {listed(resized)}"] if resized else []
    if blank:
        notes.append(f"{counted(len(blank), 'mask')} black all over, of which nothing is learned: {listed(blank)}")
    return notes


def _is_black(picture: Picture, mask: Path) -> bool:
    """All over. Masks are decoded for it, each once."""
    kind, stamp = "black alpha" if mask == picture.path else "black mask", known.stamp_of(file_stat(mask))
    fact = known.get(kind, str(mask), stamp)
    if fact is None:
        fact = "no" if np.asarray(open_mask(picture)).any() else "yes"
        known.put(kind, str(mask), stamp, fact)
    return fact == "yes"
