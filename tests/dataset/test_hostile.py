"""Every row of the table: a clear message or a reported skip, in time; nothing written, nothing lost, nothing told."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import os
import re
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from danlu.dataset.images import contact_sheet
from danlu.dataset.model import FolderRequest
from danlu.dataset.scan import fingerprint, load_folder
from danlu.errors import DanluError

from .hostile import ROWS, SECRET, Row
from .pictures import save

NOBODY = 65534
SECONDS = 60
"""The machine may be busy; what hangs, hangs for ever."""


@pytest.fixture
def place() -> Iterator[Path]:
    """Not pytest's own folder: that one is closed to other users."""
    base = Path(tempfile.mkdtemp(prefix="danlu-hostile-"))
    base.chmod(0o755)
    (base / "set").mkdir()
    (base / "outside").mkdir()
    (base / "outside" / "secret").write_text(SECRET)
    (base / "outside" / "secret.txt").write_text(SECRET)
    save(base / "outside" / "picture.png")
    yield base
    for folder in (base / "set").rglob("*"):
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o755)
    shutil.rmtree(base)


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError("a hostile file kept us waiting")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def tree(base: Path) -> dict[str, str]:
    """Kind, rights, time and content of everything; links are not followed."""
    found = {}
    for folder, folders, files in os.walk(os.fsencode(base)):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            about = os.lstat(path)
            content = b""
            if stat.S_ISLNK(about.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(about.st_mode):
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).digest()
            found[repr(path)] = f"{about.st_mode} {about.st_mtime_ns} {content!r}"
    return found


class Another:
    """Without the rights of root, who may read everything. Codecs are loaded before: Python may be in root's folder."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted and os.geteuid() == 0
        for codec in ("utf-8-sig", "gb18030", "cp1252", "cp437", "idna"):
            codecs.lookup(codec)

    def __enter__(self) -> None:
        if self.wanted:
            os.setegid(NOBODY)
            os.seteuid(NOBODY)

    def __exit__(self, *_: object) -> None:
        if self.wanted:
            os.seteuid(0)
            os.setegid(0)


def run(row: Row, base: Path, inputs: dict[str, Any], unpacked: Path) -> str:
    """What the user reads."""
    given = {"folder": str(base / "set"), "roots": (base / "set",), "unpack_to": unpacked, **inputs}
    request = FolderRequest(**given)
    if row.error:
        with pytest.raises(DanluError) as error:
            load_folder(request)
        with contextlib.suppress(DanluError):
            fingerprint(request)
        return str(error.value)
    fingerprint(request)
    dataset = load_folder(request)
    contact_sheet([picture.path for picture in dataset.pictures])
    assert row.good is None or len(dataset.pictures) == row.good, dataset.report.text()
    found = {picture.name: picture.caption for picture in dataset.pictures}
    assert {name: found.get(name) for name in row.captions} == row.captions
    assert not any(SECRET in text for text in found.values())
    for picture in dataset.pictures:
        assert picture.name.encode() and "\n" not in picture.name
    return dataset.report.text()


def test_there_are_more_than_fifty() -> None:
    assert len(ROWS) > 50


@pytest.mark.skipif(os.name == "nt", reason="links, pipes and rights of Unix")
@pytest.mark.parametrize("name", ROWS)
def test_row(place: Path, name: str) -> None:
    row = ROWS[name]
    inputs = row.make(place / "set") or {}
    for path in (place / "set", place / "outside"):
        os.utime(path, ns=(1, 1))
    unpacked = Path(tempfile.mkdtemp(prefix="danlu-unpacked-"))
    unpacked.chmod(0o777)
    before = tree(place)
    try:
        with Another(row.without_rights):
            text = run(row, place, inputs, unpacked)
        assert tree(place) == before, "nothing is changed, nothing is lost, nothing is written beside it"
        assert all(path.resolve().is_relative_to(unpacked) for path in unpacked.rglob("*"))
        assert not any(path.is_symlink() for path in unpacked.rglob("*"))
    finally:
        shutil.rmtree(unpacked)
    assert SECRET not in text
    assert text.encode(), "the front end takes UTF-8 only"
    assert re.search(row.error or row.told, text, re.DOTALL), text
