"""Captioners without a model, and someone who looks on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from danlu.captioning.captioner import Caption
from danlu.captioning.run import Job
from danlu.dataset.files import file_digest

IDENTITY = "ab" * 16


class Stop(BaseException):
    """As the host's interrupt: nothing that `except Exception` sees."""


class Toy:
    """Says a picture's first colour and its seed; `trouble` may raise before it does."""

    title, identity, kind, batch_size = "Toy", IDENTITY, "prose", 4

    def __init__(self, trouble: Callable[[Sequence[Image.Image]], None] = lambda pictures: None):
        self.trouble = trouble
        self.batches: list[int] = []
        self.released = 0

    def captions(self, pictures: Sequence[Image.Image], seeds: Sequence[int]) -> list[Caption]:
        self.trouble(pictures)
        self.batches.append(len(pictures))
        return [Caption(f"level {level(picture)}, seed {seed}") for picture, seed in zip(pictures, seeds, strict=True)]

    def release(self) -> None:
        self.released += 1


class Watcher:
    def __init__(self, stop_at: int | None = None):
        self.stop_at = stop_at
        self.lines: list[str] = []
        self.pictures: list[Image.Image] = []
        self.steps: list[tuple[int, int]] = []

    def text(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, done: int, total: int) -> None:
        self.steps.append((done, total))

    def picture(self, image: Image.Image) -> None:
        self.pictures.append(image)

    def check_interrupt(self) -> None:
        if self.stop_at is not None and self.steps and self.steps[-1][0] >= self.stop_at:
            raise Stop


def level(picture: Image.Image) -> int:
    return picture.getpixel((0, 0))[0]  # type: ignore[index,return-value]


def grey_pictures(folder: Path, count: int) -> list[Path]:
    """`00.png` ... of the levels 0, 1, 2 ..."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:02}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("RGB", (16, 16), (number, number, number)).save(path)
    return paths


def jobs(paths: Sequence[Path]) -> list[Job]:
    return [Job(path, path.name, file_digest(path)) for path in paths]
