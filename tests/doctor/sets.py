"""Datasets of generated pictures: natural enough to be sharp, full of contrast and unlike each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from danlu.dataset.captions import with_trigger
from danlu.dataset.model import Dataset, Picture
from danlu.doctor.diagnosis import Diagnosis, Options, examine
from danlu.doctor.finding import Finding

Pictures = Mapping[str, Image.Image]


def scene(seed: int, size: tuple[int, int] = (160, 128)) -> Image.Image:
    """Blotches of all sizes, down to single pixels, in colours of their own; `size` is (width, height)."""
    rng = np.random.RandomState(seed)
    values = np.zeros((size[1], size[0], 3))
    for side, strength in ((3, 60), (8, 40), (24, 25), (min(size), 25)):
        coarse = Image.fromarray(rng.randint(0, 256, (side, side, 3), dtype=np.uint8))
        values += strength * (np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)) / 127.5 - 1)
    return Image.fromarray(np.clip(values + rng.randint(90, 166, 3), 0, 255).astype(np.uint8))


def scenes(count: int, **others: Any) -> dict[str, Image.Image]:
    return {f"{number}.png": scene(number, **others) for number in range(1, count + 1)}


def dataset_of(
    folder: Path,
    pictures: Pictures,
    texts: Mapping[str, str] | Callable[[str], str] = lambda name: f"a photo of thing {name[:-4]}",
    trigger: str = "zorp",
    role: str = "train",
    befores: Pictures | None = None,
    **save: Any,
) -> Dataset:
    """Saved in `folder`; `texts` without the trigger."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, image in pictures.items():
        path = folder / name
        image.save(path, **(save if name.endswith("jpg") else {}))
        text = texts(name) if callable(texts) else texts.get(name, "")
        before: tuple[Path, ...] = ()
        if befores and name in befores:
            (folder / "before").mkdir(exist_ok=True)
            befores[name].save(folder / "before" / name)
            before = (folder / "before" / name,)
        size = image.height, image.width
        made.append(Picture(path, name, size, with_trigger(text, trigger), 1, body=text, befores=before))
    return Dataset(folder, tuple(made), trigger, role=role)


def joined(first: Dataset, *others: Dataset) -> Dataset:
    return replace(first, joined=others)


def diagnosed(dataset: Dataset, **options: Any) -> Diagnosis:
    return examine(dataset, Options(**options), lambda done, total: None)


def found(dataset: Dataset, kind: str, **options: Any) -> Finding | None:
    """What a check says; None where it says nothing."""
    hits = [finding for finding in diagnosed(dataset, **options).findings if finding.kind == kind]
    assert len(hits) < 2, "one finding of a kind"
    return hits[0] if hits else None
