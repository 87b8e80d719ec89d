"""Opened datasets without a file behind them, and folders that datasets are opened from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from danlu.captioning.places import Places
from danlu.dataset.model import Dataset, FolderRequest, Picture
from danlu.dataset.scan import load_folder
from danlu.views.dataset.open import Opened, Store

WORDS = ("red", "blue", "smile", "sitting", "forest", "night", "hat", "long hair", "solo", "close-up")


def many(count: int, folder: Path = Path("/nowhere/cats")) -> Dataset:
    """Pictures that only a dataset knows of: no file is there to be opened."""
    pictures = tuple(
        Picture(
            *(folder / f"{n}.png", f"{n}.png", (64, 64 + n % 7), f"ohwx, {text(n)}", 1),
            body=text(n),
            text_file=folder / f"{n}.txt",
        )
        for n in range(count)
    )
    return Dataset(folder, pictures, "ohwx")


def text(n: int) -> str:
    return ", ".join((WORDS[n % 10], WORDS[n // 10 % 10], f"cat {n}"))


def folder_of(folder: Path, texts: Mapping[str, str | None]) -> Path:
    """`a` -> a.png, with a.txt where the text is not None."""
    for number, (name, body) in enumerate(texts.items()):
        picture(folder / f"{name}.png", number)
        if body is not None:
            (folder / f"{name}.txt").write_text(body, encoding="utf-8")
    return folder


def picture(path: Path, number: int = 0, size: tuple[int, int] = (64, 64)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (number * 31 % 256, 80, 160)).save(path)
    return path


def opened(folder: Path, **inputs: object) -> Opened:
    return Store().put(load_folder(FolderRequest(str(folder), **inputs)))  # type: ignore[arg-type]


def places(folder: Path) -> Places:
    return Places(folder / "output", (folder / "unseen",))
