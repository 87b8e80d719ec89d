"""Facts about files, kept on disk."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest
from PIL import Image

from danlu.dataset import images, known
from danlu.dataset.images import probe
from danlu.dataset.pairs import identical
from danlu.training.sources import content_key

from .pictures import save

LONG_AGO = time.time_ns() - 10**12


class Looks:
    """How often a picture was decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        looked_at = images._looked_at

        def counted(path: Path, length: int) -> images.Probe:
            self.count += 1
            return looked_at(path, length)

        monkeypatch.setattr(images, "_looked_at", counted)

    def of(self, path: Path, folder: Path) -> tuple[int, int]:
        """As a new process, which remembers nothing."""
        images._probe.cache_clear()
        with known.kept_in(folder):
            return probe(path).size


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    # The kernel sets the time of a file's last change of rights itself: only a later clock makes files old.
    now = time.time_ns
    monkeypatch.setattr(known.time, "time_ns", lambda: now() + 10**10)
    return Looks(monkeypatch)


def test_a_picture_is_decoded_once(tmp_path: Path, looks: Looks) -> None:
    path = save(tmp_path / "set" / "a.png")
    assert [looks.of(path, tmp_path / "kept") for _ in range(3)] == [(80, 96)] * 3
    assert looks.count == 1
    save(path, (64, 40))
    assert looks.of(path, tmp_path / "kept") == (40, 64)
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    assert looks.of(path, tmp_path / "kept") == (40, 64)
    assert looks.count == 3


def test_another_picture_with_the_old_time_is_seen(tmp_path: Path, looks: Looks) -> None:
    """`cp -p` and `rsync -t` keep the time of the content, not that of the file's entry."""
    path = save(tmp_path / "a.bmp", (16, 32))
    stat = path.stat()
    assert looks.of(path, tmp_path / "kept") == (32, 16)
    other = save(tmp_path / "b.bmp", (32, 16))
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)
    assert path.stat().st_size == stat.st_size and path.stat().st_mtime_ns == stat.st_mtime_ns
    assert looks.of(path, tmp_path / "kept") == (16, 32)


def test_a_file_written_just_now_is_not_trusted(tmp_path: Path, looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png")
    monkeypatch.setattr(known.time, "time_ns", lambda: path.stat().st_mtime_ns + 10**9)
    looks.of(path, tmp_path / "kept")
    looks.of(path, tmp_path / "kept")
    assert looks.count == 2


def test_a_file_that_ages_while_it_is_read_is_not_trusted(
    tmp_path: Path, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been changed in between, within the tick of the clock that it was written in."""
    path, clock = save(tmp_path / "a.png"), [0]
    monkeypatch.setattr(known.time, "time_ns", lambda: path.stat().st_ctime_ns + clock[0])
    looked_at = images._looked_at

    def slow(path: Path, length: int) -> images.Probe:
        clock[0] += 10**10
        return looked_at(path, length)

    monkeypatch.setattr(images, "_looked_at", slow)
    looks.of(path, tmp_path / "kept")
    looks.of(path, tmp_path / "kept")
    assert looks.count == 2


def test_a_file_written_just_now_is_not_remembered_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second change that leaves times and length as they are, as within one tick of the clock."""
    path = save(tmp_path / "a.bmp", (16, 32))
    stat = path.stat()
    fixed = known.Stamp(stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, settled=False)
    monkeypatch.setattr(known, "stamp_of", lambda stat: fixed)
    first, other = content_key(path), save(tmp_path / "b.bmp", (16, 32))
    assert probe(path).size == (32, 16) and identical(path, other)
    save(path, (32, 16))
    assert probe(path).size == (16, 32) and content_key(path) != first
    Image.new("RGB", (16, 32)).save(path)
    assert not identical(path, other)


def test_broken_pictures_are_looked_at_again(tmp_path: Path, looks: Looks) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    for _ in range(2):
        with pytest.raises(images.UnreadableImage):
            looks.of(tmp_path / "a.png", tmp_path / "kept")
    assert looks.count == 2


def test_outside_nothing_is_kept(tmp_path: Path, looks: Looks) -> None:
    path = save(tmp_path / "a.png")
    for _ in range(2):
        images._probe.cache_clear()
        probe(path)
    assert looks.count == 2 and [found.name for found in tmp_path.iterdir()] == ["a.png"]


def test_a_broken_database_is_made_again(tmp_path: Path, looks: Looks) -> None:
    path = save(tmp_path / "a.png")
    file = tmp_path / "kept" / known.FILE_NAME
    file.parent.mkdir()
    file.write_bytes(b"no database" * 1000)
    assert looks.of(path, tmp_path / "kept") == (80, 96)
    assert [looks.of(path, tmp_path / "kept") for _ in range(2)] == [(80, 96)] * 2
    assert looks.count == 2


@pytest.mark.parametrize("removable", [True, False])
def test_a_broken_database_is_closed_before_it_is_removed(
    tmp_path: Path, looks: Looks, monkeypatch: pytest.MonkeyPatch, removable: bool
) -> None:
    """As on Windows, where an open file cannot be removed."""
    path, file = save(tmp_path / "a.png"), tmp_path / "kept" / known.FILE_NAME
    file.parent.mkdir()
    file.write_bytes(b"no database" * 1000)
    events: list[str] = []

    class Connection(sqlite3.Connection):
        def close(self) -> None:
            events.append("closed")
            super().close()

    def unlink(self: Path, missing_ok: bool = False) -> None:
        events.append("removed")
        if not removable:
            raise PermissionError(13, "in use")
        os.unlink(self)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **named: connect(*given, factory=Connection, **named))
    monkeypatch.setattr(Path, "unlink", unlink)
    assert looks.of(path, tmp_path / "kept") == (80, 96)
    assert events == ["closed", "removed"] and file.exists() is not removable


def test_a_database_that_another_process_holds(tmp_path: Path, looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png")
    looks.of(path, tmp_path / "kept")
    monkeypatch.setattr(known, "PATIENCE", 0.05)
    other = sqlite3.connect(tmp_path / "kept" / known.FILE_NAME)
    other.execute("BEGIN EXCLUSIVE")
    assert looks.of(path, tmp_path / "kept") == (80, 96)
    other.rollback()
    assert looks.of(path, tmp_path / "kept") == (80, 96)
    assert looks.count == 2, "what it held is still there"


def test_no_place_to_keep_anything(tmp_path: Path, looks: Looks) -> None:
    path = save(tmp_path / "a.png")
    (tmp_path / "kept").write_text("a file")
    assert looks.of(path, tmp_path / "kept") == (80, 96)


def test_names_that_are_no_text(tmp_path: Path, looks: Looks) -> None:
    path = tmp_path / os.fsdecode(b"a\xff.png")
    save(tmp_path / "a.png").rename(path)
    for _ in range(2):
        assert looks.of(path, tmp_path / "kept") == (80, 96)
    assert looks.count == 1
