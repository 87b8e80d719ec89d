"""Faces of a picture, and what Face Crops (Danlu) would cut out of it."""

from __future__ import annotations

from typing import Any

from ...dataset.images import UnreadableImage
from ...doctor.faces.crops import CropOptions, around
from ...doctor.faces.detect import detector
from ...errors import DanluError
from ..errors import NotFound
from .open import Opened

MOST_MARGIN = 3.0


def faces(opened: Opened, n: int, kind: str, margin: float, min_size: int, count: int) -> dict[str, Any]:
    """Boxes in pixels of the upright picture: faces as [left, top, width, height], crops as [left, top, right, bottom].

    `kind`: of detector. The largest faces come first; `count` of them are cut out.
    """
    picture, part = opened.picture(n), opened.part(n)
    if not 0 <= margin <= MOST_MARGIN:
        raise DanluError(f"margin is {margin:g}; it can be from 0 to {MOST_MARGIN:g}.")
    why_not = ""
    if picture.clip or picture.befores:
        why_not = "Videos and pairs are not cropped"
    elif part.role != "train":
        why_not = f"Pictures with the role {part.role} are not cropped"
    try:
        found = [] if picture.clip else detector(kind)(picture.path)
    except (UnreadableImage, OSError) as error:
        raise NotFound(f"{picture.name} cannot be read any more: {error}") from None
    boxes = [around(face, picture.size, margin) for face in found[:count]]
    crops = [{"box": list(box), "large": min(box[2] - box[0], box[3] - box[1]) >= min_size} for box in boxes]
    return {
        "n": n,
        "size": list(picture.size),
        "faces": [list(face) for face in found],
        "crops": [] if why_not else crops,
        "why_not": why_not,
    }


PLAIN = CropOptions.margin, CropOptions.min_size, CropOptions.faces_per_picture
"""Margin, least size and number of faces, where nobody says otherwise."""
