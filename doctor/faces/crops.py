"""Heads cut out of a dataset's pictures, as a second set of close-ups."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from ...dataset.captions import one_line, with_trigger
from ...dataset.images import UnreadableImage, open_rgb
from ...dataset.model import Dataset, Picture, Report, counted
from ...errors import DanluError
from ...training.jobs import content_key
from ...training.writing import write_atomically
from ..finding import Subject, named, subjects_of
from .cascade import Box

RECIPE = "1"
"""Part of every file's name: raise it when crops are cut or saved differently."""
LARGEST = 2048
"""Sides of a crop's file in pixels: more is no use for training."""
MOST = 1_000_000
"""Crops that anybody has."""
UP = 0.08
"""Detectors' boxes lie low on the head: crops lie so much of the box's height higher."""
_CAPTION = re.compile(r"\[caption\]", re.IGNORECASE)
_NUMBERS = re.compile(r"^(\d{1,9})(?:\s*-\s*(\d{1,9}))?$")


@dataclass(frozen=True)
class CropOptions:
    folder: Path
    """Where the crops go, named by what is in them."""
    margin: float = 0.5
    """Around the face on each side, as a share of its larger side."""
    min_size: int = 256
    """Pixels: crops with shorter sides are left out."""
    faces_per_picture: int = 1
    template: str = "close-up portrait of [trigger]"
    """May hold [trigger] and [caption], the whole picture's own text."""
    weight: float = 1.0
    """How much a crop counts beside a picture."""
    drop: str = ""
    """Numbers of crops to leave out: "3, 7, 10-12"."""


@dataclass(frozen=True)
class Crop:
    number: int
    """From 1, before any is dropped, so that it stays."""
    subject: Subject
    face: Box
    box: tuple[int, int, int, int]
    """(left, top, right, bottom) in the upright picture."""
    picture: Picture
    """The crop as part of a dataset."""
    dropped: bool


@dataclass(frozen=True)
class Cropped:
    dataset: Dataset
    """The whole pictures with the crops joined to them."""
    crops: tuple[Crop, ...]
    without: tuple[Subject, ...]
    """Pictures with no face."""
    small: tuple[Subject, ...]
    """Pictures with faces that are all too small."""
    broken: tuple[str, ...]

    @property
    def kept(self) -> tuple[Crop, ...]:
        return tuple(crop for crop in self.crops if not crop.dropped)


def crop_faces(
    dataset: Dataset,
    options: CropOptions,
    find: Callable[[Subject], Sequence[Box]],
    progress: Callable[[int, int], None],
) -> Cropped:
    """Cuts the largest faces out of the pictures to train on. `progress` may raise to end it.

    A crop that is on disk already is not cut again. Raises DanluError for numbers to drop that are none.
    """
    subjects = croppable(dataset)
    numbers = parse_numbers(options.drop)
    crops: list[Crop] = []
    without: list[Subject] = []
    small: list[Subject] = []
    broken: list[str] = []
    for done, subject in enumerate(subjects):
        progress(done, len(subjects))
        try:
            found = find(subject)[: options.faces_per_picture]
            boxes = [(face, around(face, subject.picture.size, options.margin)) for face in found]
            large = [(face, box) for face, box in boxes if min(box[2] - box[0], box[3] - box[1]) >= options.min_size]
            for face, box in large:
                number = len(crops) + 1
                made = _made(subject, box, options)
                crops.append(Crop(number, subject, face, box, made, number in numbers))
        except (UnreadableImage, OSError) as error:
            broken.append(f"#{subject.number} {subject.picture.name} ({error})")
            continue
        if not found:
            without.append(subject)
        elif not large:
            small.append(subject)
    progress(len(subjects), len(subjects))
    unknown = sorted(number for number in numbers if not 1 <= number <= len(crops))
    if unknown:
        raise DanluError(f"drop: there is no crop {unknown[0]}; there are {counted(len(crops), 'crop')}.")
    joined = _with_crops(dataset, [crop for crop in crops if not crop.dropped], options.weight)
    return Cropped(joined, tuple(crops), tuple(without), tuple(small), tuple(broken))


def croppable(dataset: Dataset) -> list[Subject]:
    """Pictures to train on; no videos, and no pairs, whose befores would have to be cut alike."""
    return [s for s in subjects_of(dataset) if s.part.role == "train" and not s.picture.clip and not s.picture.befores]


def around(face: Box, size: tuple[int, int], margin: float) -> tuple[int, int, int, int]:
    """A square around the head, (left, top, right, bottom), moved and cut to lie in a picture of `size` (height,
    width); the face itself is always whole."""
    left, top, width, height = face
    tall, wide = size
    side = round(max(width, height) * (1 + 2 * margin))
    x0 = round(left + width / 2 - side / 2)
    y0 = round(top + height / 2 - side / 2 - UP * height)
    across, down = min(side, wide), min(side, tall)
    x0 = min(max(0, x0), wide - across)
    y0 = min(max(0, y0, top + height - down), tall - down)
    return x0, y0, x0 + across, y0 + down


def parse_numbers(text: str) -> set[int]:
    """Of "3, 7, 10-12"."""
    found: set[int] = set()
    for part in filter(None, (part.strip().lstrip("#") for part in re.split(r"[,;，、\n]", text))):
        match = _NUMBERS.match(part)
        if match is None:
            raise DanluError(f"drop: {part!r} is no number. Write the numbers on the crops, e.g. 3, 7, 10-12")
        first, last = int(match[1]), int(match[2] or match[1])
        if last > MOST:
            raise DanluError(f"drop: there is no crop {last}.")
        found.update(range(first, last + 1))
    return found


def _made(subject: Subject, box: tuple[int, int, int, int], options: CropOptions) -> Picture:
    """The crop's file, cut where it is not there yet."""
    source = subject.picture
    key = hashlib.sha256(f"{RECIPE} {content_key(source.path)} {box}".encode()).hexdigest()[:16]
    stem = re.sub(r"[^\w.-]+", "_", source.path.stem)[:40].strip("._") or "picture"
    path = options.folder / f"{stem}-face-{key}.png"
    if not path.exists():
        image = open_rgb(source.path).crop(box)
        image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        options.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())
    side = min(LARGEST, max(box[2] - box[0], box[3] - box[1])) / max(box[2] - box[0], box[3] - box[1])
    size = round((box[3] - box[1]) * side), round((box[2] - box[0]) * side)
    body = one_line(_CAPTION.sub(lambda _: source.body, options.template)).strip(" ,")
    return Picture(path, path.name, size, with_trigger(body, subject.part.trigger), source.repeats, body=body)


def _with_crops(dataset: Dataset, crops: Sequence[Crop], weight: float) -> Dataset:
    """One more part for each part that crops come from: with its trigger, role and weight."""
    more = []
    for part in dataset.parts():
        own = tuple(crop.picture for crop in crops if crop.subject.part == part)
        if own:
            report = Report(len(own), len(own), tuple(p.repeats for p in own), part.trigger)
            more.append(
                replace(part, folder=own[0].path.parent, pictures=own, report=report, weight=part.weight * weight)
            )
    return replace(dataset, joined=(*dataset.joined, *more))


def told(cropped: Cropped) -> str:
    """For the node."""
    dropped = [crop for crop in cropped.crops if crop.dropped]
    lines = [f"{counted(len(cropped.kept), 'crop')} of heads" + (f", {len(dropped)} dropped" if dropped else "")]
    if cropped.without:
        lines.append(f"No face found: {named(cropped.without)}")
    if cropped.small:
        lines.append(f"Too small for 'min_size': {named(cropped.small)}")
    lines += [f"Cannot be read: {line}" for line in cropped.broken]
    captions = {crop.picture.caption for crop in cropped.kept}
    if captions:
        lines.append(f"Captions: {next(iter(sorted(captions)))}" + (" ..." if len(captions) > 1 else ""))
    if cropped.crops:
        lines.append("Look at the numbers, and type those of bad crops into 'drop'.")
    return "\n".join(lines)
