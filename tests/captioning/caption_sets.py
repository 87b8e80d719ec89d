"""Folders of pictures whose texts are in every state that a text can be in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from PIL import Image

from danlu.captioning.compose import Recipe
from danlu.captioning.compose_set import compose_dataset
from danlu.captioning.places import Places
from danlu.captioning.undo import undo_captions
from danlu.captioning.writing import Saved, SaveRequest, save_captions
from danlu.dataset.model import Dataset, FolderRequest
from danlu.dataset.scan import load_folder


class Quiet:
    """Looks on; `stop` may raise, as the host does when the user interrupts."""

    def __init__(self, stop: Callable[[], None] | None = None) -> None:
        self.stop = stop
        self.told: list[str] = []

    def text(self, text: str) -> None:
        self.told.append(text)

    def progress(self, done: int, total: int) -> None: ...

    def check_interrupt(self) -> None:
        if self.stop:
            self.stop()


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64), (len(path.name) * 9 % 255, 80, 120)).save(path)
    return path


def make(folder: Path, texts: Mapping[str, bytes | None]) -> Path:
    """`a` -> a.png, with the text as a.txt where it is not None."""
    for name, text in texts.items():
        picture(folder / f"{name}.png")
        if text is not None:
            (folder / f"{name}.txt").write_bytes(text)
    return folder


def load(folder: Path, **inputs: object) -> Dataset:
    return load_folder(FolderRequest(str(folder), **inputs))  # type: ignore[arg-type]


def captioned(dataset: Dataset, text: str = "a {} thing", captioner: str = "c0ffee") -> Dataset:
    """As a captioner leaves it: another body for each picture."""

    def said(_part: Dataset, found: object) -> object:
        body = text.format(found.path.stem).strip()  # type: ignore[attr-defined]
        return replace(found, body=body, caption=body, captioner=captioner, seed=7)  # type: ignore[type-var]

    return dataset.mapped(said)  # type: ignore[arg-type]


def composed(dataset: Dataset, **recipe: str) -> Dataset:
    return compose_dataset(dataset, Recipe(**recipe)).dataset  # type: ignore[arg-type]


def save(dataset: Dataset, policy: str = "skip", watcher: Quiet | None = None, **options: object) -> Saved:
    places = options.pop("places", None) or Places(dataset.folder.parent / "output")
    request = SaveRequest(places, policy, **options)  # type: ignore[arg-type]
    return save_captions(dataset, request, watcher or Quiet())


def undo(folder: Path, run: str = "", apply: bool = True) -> str:
    return undo_captions([folder], run, apply, Quiet()).text()


def tree(folder: Path) -> dict[str, bytes]:
    """All that is in it but the journal."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".captions" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def texts(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in tree(folder).items() if not name.endswith((".png", ".jpg"))}
