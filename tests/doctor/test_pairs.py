"""Edit pairs: how much changes, and whether the two lie on each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from danlu.dataset.model import Dataset
from danlu.doctor.finding import Severity
from danlu.doctor.pairs import compared

from .sets import dataset_of, diagnosed, found, scene, scenes

SIZE = (256, 192)


def spotted(image: Image.Image, spots: int, seed: int = 0) -> Image.Image:
    """With dark spots on it, as a dirty picture."""
    dirty, rng = image.copy(), np.random.RandomState(seed)
    for _ in range(spots):
        x, y = rng.randint(0, image.width - 24), rng.randint(0, image.height - 24)
        dirty.paste((20, 15, 10), (x, y, x + 24, y + 24))
    return dirty


def moved(image: Image.Image, by: int) -> Image.Image:
    return Image.fromarray(np.roll(np.asarray(image), by, axis=1))


def paired(folder: Path, *befores: Image.Image) -> Dataset:
    afters = scenes(len(befores), size=SIZE)
    return dataset_of(folder, afters, befores=dict(zip(afters, befores, strict=True)))


def after(number: int) -> Image.Image:
    return scene(number, SIZE)


KINDS = ("no difference", "shifted", "other shape", "little difference", "strong only", "broken")


def kinds(dataset: Dataset) -> set[str]:
    return {finding.kind for finding in diagnosed(dataset).findings} & set(KINDS)


def test_a_good_set(tmp_path: Path) -> None:
    dataset = paired(tmp_path, *(spotted(after(i), spots) for i, spots in ((1, 3), (2, 8), (3, 25), (4, 60))))
    assert kinds(dataset) == set()
    note = found(dataset, "pairs")
    assert note is not None and note.severity is Severity.NOTE and "4 pairs" in note.text


def test_without_pairs_nothing_is_said(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, scenes(3, size=SIZE))
    assert kinds(dataset) == set() and found(dataset, "pairs") is None


def test_the_same_before_and_after(tmp_path: Path) -> None:
    finding = found(paired(tmp_path, after(1), spotted(after(2), 10), spotted(after(3), 5)), "no difference")
    assert finding is not None and finding.pictures == (1,) and finding.severity is Severity.PROBLEM


def test_exaggerated_flaws_only(tmp_path: Path) -> None:
    strong = [spotted(after(i), 160, seed=i) for i in (1, 2, 3)]
    finding = found(paired(tmp_path, *strong), "strong only")
    assert finding is not None and finding.severity is Severity.WARNING and "add mild ones" in finding.remedy
    assert found(paired(tmp_path, *strong[:2], spotted(after(3), 4)), "strong only") is None, "a mild one among them"


def test_hardly_any_change(tmp_path: Path) -> None:
    weak = [spotted(after(i), 1, seed=i) for i in (1, 2, 3)]
    finding = found(paired(tmp_path, *weak), "little difference")
    assert finding is not None and "3 pairs with hardly any change" in finding.text
    assert found(paired(tmp_path, *(spotted(after(i), 12) for i in (1, 2, 3))), "little difference") is None


def test_pairs_that_do_not_lie_on_each_other(tmp_path: Path) -> None:
    dataset = paired(tmp_path, moved(after(1), 12), spotted(after(2), 20), spotted(after(3), 5))
    finding = found(dataset, "shifted")
    assert finding is not None and finding.pictures == (1,)
    assert diagnosed(dataset).pair_looks[1].shift == pytest.approx(12 / 256, abs=0.01)


def test_other_shapes(tmp_path: Path) -> None:
    finding = found(paired(tmp_path, spotted(after(1), 9).crop((0, 0, 200, 192)), spotted(after(2), 9)), "other shape")
    assert finding is not None and finding.pictures == (1,)


def test_a_before_of_another_size_is_compared_at_the_afters() -> None:
    image = scene(1, SIZE).filter(ImageFilter.GaussianBlur(2))
    assert compared(image, image.resize((512, 384))).difference < 0.01
    assert compared(image, spotted(image, 40).resize((512, 384))).changed > 0.1


def test_a_broken_before(tmp_path: Path) -> None:
    dataset = paired(tmp_path, spotted(after(1), 9), spotted(after(2), 9))
    (tmp_path / "before" / "2.png").write_bytes(b"")
    finding = found(dataset, "broken")
    assert finding is not None and "Befores that cannot be read: #2 2.png" in finding.text
