"""From what the user asked for to a dataset with close-ups: what the face crops node calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...dataset.model import Dataset
from ...errors import DanluError
from ...training.reporter import Reporter
from ..finding import Subject
from .cascade import Box
from .crops import CropOptions, Cropped, crop_faces, croppable, told
from .detect import boxes_of_masks, boxes_of_text, detector
from .sheet import crop_pages

PAGES = 10


@dataclass(frozen=True)
class Faces:
    detector: str = "photo"
    margin: float = 0.5
    min_size: int = 256
    template: str = CropOptions.template
    weight: float = 1.0
    drop: str = ""
    faces_per_picture: int = 1
    boxes: str = ""
    masks: tuple[NDArray[np.float32], ...] | None = None


@dataclass(frozen=True)
class Cut:
    dataset: Dataset
    crops: Dataset
    pages: list[Image.Image]
    report: str


def cut_faces(dataset: Dataset, faces: Faces, folder: Path, reporter: Reporter) -> Cut:
    """Raises DanluError for inputs that mean nothing, before any picture is opened, and where no crop is left."""
    subjects = croppable(dataset)
    if not subjects:
        raise DanluError("The input 'dataset' holds no single images to train on: pairs and videos are not cropped.")
    given = boxes_of_masks(faces.masks, subjects) if faces.masks is not None else {}
    given.update(boxes_of_text(faces.boxes, subjects))
    find = detector(faces.detector)

    def boxes(subject: Subject) -> Sequence[Box]:
        return given[subject.number] if subject.number in given else find(subject.picture.path)

    def progress(done: int, total: int) -> None:
        reporter.check_interrupt()
        reporter.progress(done, total)

    options = CropOptions(
        folder, faces.margin, faces.min_size, faces.faces_per_picture, faces.template, faces.weight, faces.drop
    )
    cropped = crop_faces(dataset, options, boxes, progress)
    report = told(cropped)
    reporter.text(report)
    return Cut(cropped.dataset, _alone(cropped), crop_pages(cropped.crops, PAGES, reporter.check_interrupt), report)


def _alone(cropped: Cropped) -> Dataset:
    """The crops without the whole pictures."""
    files = {crop.picture.path for crop in cropped.kept}
    parts = [part for part in cropped.dataset.parts() if part.pictures and part.pictures[0].path in files]
    if not parts:
        raise DanluError(f"No crop is left. {told(cropped)}")
    return replace(parts[0], joined=tuple(parts[1:]))
