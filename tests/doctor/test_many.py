"""Ten thousand pictures: quickly, in flat memory, and only once."""

from __future__ import annotations

import gc
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from danlu.dataset.model import Dataset, Picture
from danlu.doctor import diagnosis, look
from danlu.doctor.diagnosis import Options, examine
from danlu.doctor.sheet import pages

from .sets import dataset_of, scenes

COUNT = 10_000
KINDS = 50


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """So many names of fifty pictures (by links, to spare the disk), each with a text of its own."""
    folder = tmp_path_factory.mktemp("many")
    few = dataset_of(folder / "few", scenes(KINDS, size=(96, 96)))
    (folder / "all").mkdir()
    made: list[Picture] = []
    for number in range(COUNT):
        source = few.pictures[number % KINDS]
        path = folder / "all" / f"{number}.png"
        os.link(source.path, path)
        made.append(replace(source, path=path, name=path.name, caption=f"zorp number {number}"))
    return replace(few, pictures=tuple(made))


def resident() -> float:
    """Megabytes."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells a process its memory here")
def test_ten_thousand(many: Dataset) -> None:
    gc.collect()
    told: list[int] = []
    before, began = resident(), time.process_time()
    found = examine(many, Options(), lambda done, total: told.append(done))
    sheets = pages(found, 1)
    assert time.process_time() - began < 60
    assert resident() - before < 300
    assert len(told) > COUNT and len(sheets) == 2
    (doubled,) = [finding for finding in found.findings if finding.kind == "same file"]
    assert len(doubled.pictures) == COUNT and len(found.groups["same file"]) == KINDS


def test_what_was_looked_at_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = dataset_of(tmp_path, scenes(8))
    opened: list[str] = []
    real = look.still

    def counted(path: Path, *others: int | None) -> object:
        opened.append(path.name)
        return real(path, *others)

    monkeypatch.setattr(look, "still", counted)
    for _ in range(2):
        examine(dataset, Options(), lambda done, total: None)
    assert sorted(opened) == sorted(picture.name for picture in dataset.pictures)
    dataset = dataset_of(tmp_path, {"3.png": scenes(9)["9.png"]})
    examine(dataset, Options(), lambda done, total: None)
    assert opened[8:] == ["3.png"], "another file under the same name"


def test_an_interrupt_stops_at_once(many: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(BaseException):
        pass

    looked: list[str] = []
    real = diagnosis.look_at

    def counted(picture: Picture) -> object:
        looked.append(picture.name)
        return real(picture)

    def progress(done: int, total: int) -> None:
        if done == 20:
            raise Stop

    monkeypatch.setattr(diagnosis, "look_at", counted)
    with pytest.raises(Stop):
        examine(many, Options(), progress)
    assert len(looked) < 20 + 8 * diagnosis.KEPT_WAITING + 10
