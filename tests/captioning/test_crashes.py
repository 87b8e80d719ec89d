"""Captions survive kill -9, power cuts, full disks and two writers at once."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from danlu.captioning import text_files
from danlu.captioning.journal import Journal
from danlu.errors import DanluError

from .caption_sets import Quiet, captioned, load, make, save, texts, tree, undo

STEPS = ("open", "fsync", "link", "replace", "unlink")
"""Calls of `os` that change something, or make sure of it."""
TEXTS: dict[str, bytes | None] = {"a": None, "b": b"mine\r\n", "c": b""}
NEW = {"a.txt": b"a a thing", "b.txt": b"a b thing\r\n", "c.txt": b"a c thing"}

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a process to kill it")


def in_a_fork(work: Callable[[], None]) -> int:
    """Runs it in another process; its exit status, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def dies_at(step: int) -> None:
    """From now on, this process is killed right before the given call that changes a file."""
    left = step

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)

        return call

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))


def every_step(work: Callable[[], None], check: Callable[[int], None], prepare: Callable[[], None]) -> int:
    """Kills `work` before its first change, its second, and so on; how many there are."""
    for step in range(1000):
        prepare()

        def dying(step: int = step) -> None:
            dies_at(step)
            work()

        status = in_a_fork(dying)
        assert status in (0, -signal.SIGKILL)
        check(step)
        if status == 0:
            return step
    raise AssertionError("it never ended")


@needs_fork
@pytest.mark.parametrize("format", [".txt", "metadata.csv"])
def test_killed_before_any_change(tmp_path: Path, format: str) -> None:
    """Each file is old or new, the next run does the rest, and undo brings back what was there."""
    folder = tmp_path / "set"
    first = tree(make(folder, TEXTS)) | ({} if format == ".txt" else {"metadata.csv": b"file_name,text\nb.png,mine\n"})
    after = (
        NEW
        if format == ".txt"
        else {"metadata.csv": b"file_name,text\nb.png,a b thing\na.png,a a thing\nc.png,a c thing\n"}
    )

    def prepare() -> None:
        for file in [path for path in folder.rglob("*") if path.is_file()]:
            file.unlink()
        for name, content in first.items():
            (folder / name).write_bytes(content)

    def write() -> None:
        save(captioned(load(folder, captions="none")), "replace", replace_yours=True, format=format)

    def check(step: int) -> None:
        for name, content in texts(folder).items():
            if not name.startswith(text_files.DEBRIS):
                assert content in (first.get(name), after.get(name)), (step, name)
        known = Journal(folder).entries()
        assert all(entry.old_bytes() == first.get(entry.file) for entry in known if not entry.row)
        write()
        assert {**first, **after} == tree(folder), step
        for run in reversed(dict.fromkeys(entry.run for entry in Journal(folder).entries())):
            undo(folder, run)
        assert tree(folder) == first, step

    steps = every_step(write, check, prepare)
    assert steps >= (9 if format == ".txt" else 5)


@needs_fork
def test_undo_killed_before_any_change(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", TEXTS)
    first = tree(folder)

    def prepare() -> None:
        for file in [path for path in folder.rglob("*") if path.is_file()]:
            file.unlink()
        for name, content in first.items():
            (folder / name).write_bytes(content)
        save(captioned(load(folder)), "replace", replace_yours=True)

    def check(step: int) -> None:
        for name, content in texts(folder).items():
            if not name.startswith(text_files.DEBRIS):
                assert content in (first.get(name), NEW[name]), (step, name)
        run = Journal(folder).entries()[0].run
        undo(folder, run)
        assert tree(folder) == first, step

    def work() -> None:
        undo(folder)

    assert every_step(work, check, prepare) >= 6


WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
import tests.conftest
from pathlib import Path
from danlu.tests.captioning.caption_sets import captioned, load, save
dataset = captioned(load(Path(sys.argv[2])), "a {0} thing " * 40)
print("ready", flush=True)
save(dataset, "append")
"""


def test_kill_9_at_any_moment(tmp_path: Path) -> None:
    """A real process, killed while it writes hundreds of files."""
    root = Path(__file__).resolve().parents[2]
    old = {f"{number:03}": b"mine" if number % 3 else None for number in range(200)}
    folder = make(tmp_path / "set", old)
    first = tree(folder)
    new = {f"{name}.txt": (f"a {name} thing " * 40).strip() for name in old}
    for wait in (0.002, 0.02, 0.05):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root), str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout and process.stdout.readline() == "ready\n"
        size, limit = _size(Journal(folder).path), time.monotonic() + 30
        while _size(Journal(folder).path) == size and time.monotonic() < limit:
            time.sleep(0.001)
        time.sleep(wait)
        process.kill()
        process.wait()
        found = texts(folder)
        for name, content in found.items():
            if not name.startswith(text_files.DEBRIS):
                ours = (new[name].encode(), f"mine, {new[name]}".encode(), f"mine {new[name]}".encode())
                assert content == first.get(name) or content in ours, name
        assert Journal(folder).entries()
    save(captioned(load(folder), "a {0} thing " * 40), "append")
    assert len(texts(folder)) == 200 and all(len(content) > 100 for content in texts(folder).values())
    for run in reversed(dict.fromkeys(entry.run for entry in Journal(folder).entries())):
        undo(folder, run)
    assert tree(folder) == first


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_a_journal_that_was_cut_anywhere(tmp_path: Path) -> None:
    """All whole lines count, and the next line stands alone."""
    folder = make(tmp_path / "set", {"a": b"mine"})
    save(captioned(load(folder)), "append")
    journal = Journal(folder)
    whole = journal.path.read_bytes()
    (entry,) = journal.entries()
    for length in range(0, len(whole) - 1, 3):
        journal.path.write_bytes(whole + whole[:length])
        assert journal.entries()[0] == entry and len(journal.entries()) <= 2
    journal.path.write_bytes(whole + whole[:50])
    journal.append([entry])
    assert journal.entries() == [entry, entry]


@pytest.mark.parametrize(
    "junk", [b"null", b"[1]", b'"x"', b"{}", b"\xff\xfe", b"[" * 5000, b'{"id":1,"run":"x","kind":"write"}']
)
def test_lines_that_are_no_entries(tmp_path: Path, junk: bytes) -> None:
    folder = make(tmp_path / "set", {"a": b"mine"})
    save(captioned(load(folder)), "append")
    journal = Journal(folder)
    journal.path.write_bytes(junk + b"\n" + journal.path.read_bytes())
    assert len(journal.entries()) == 1
    undo(folder)
    assert texts(folder) == {"a.txt": b"mine"}


@pytest.mark.parametrize(
    "file", ["../secret.txt", "/etc/passwd", "a/../../secret.txt", "a.png", "run.py", "link.txt", "", ".captions/lock"]
)
def test_a_forged_journal_touches_nothing_else(tmp_path: Path, file: str) -> None:
    """Whoever shares a dataset may write its journal: undo changes caption files of that folder only."""
    from dataclasses import replace

    folder = make(tmp_path / "set", {"a": None})
    (tmp_path / "secret.txt").write_bytes(b"a a thing")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "run.py").write_bytes(b"a a thing")
    save(captioned(load(folder)))
    journal, before = Journal(folder), tree(tmp_path)
    (entry,) = journal.entries()
    forged = replace(entry, id="x/1", run="x", owner="x/1", file=file, was=text_files.sha(b"evil"), old="ZXZpbA==")
    journal.append([forged])
    report = undo(folder, "x")
    assert tree(tmp_path) == before and "Left as they are" in report


def test_a_forged_journal_that_goes_in_circles(tmp_path: Path) -> None:
    from dataclasses import replace

    folder = make(tmp_path / "set", {"a": b"mine"})
    save(captioned(load(folder)), "append")
    journal = Journal(folder)
    (entry,) = journal.entries()
    journal.append([replace(entry, id="x", before="y", owner="x"), replace(entry, id="y", before="x", owner="y")])
    (folder / "a.txt").write_bytes(b"mine")
    assert "1 text left alone" in save(captioned(load(folder))).text()


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -1.0, 10**400])
def test_a_forged_journal_of_no_time(tmp_path: Path, odd: float) -> None:
    from dataclasses import replace

    folder = make(tmp_path / "set", {"a": None})
    save(captioned(load(folder)))
    journal = Journal(folder)
    (entry,) = journal.entries()
    journal.append([replace(entry, id="x/1", run="x", time=odd)])
    assert journal.entries() == [entry]


def failing(monkeypatch: pytest.MonkeyPatch, name: str, at: int, error: int) -> None:
    real, calls = getattr(os, name), 0

    def call(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls >= at:
            raise OSError(error, os.strerror(error))
        return real(*args, **options)

    monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize("at", range(1, 8))
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_is_full_or_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, error: int) -> None:
    folder = make(tmp_path / "set", TEXTS)
    first, dataset = tree(folder), captioned(load(folder))
    with monkeypatch.context() as patch:
        failing(patch, "fsync", at, error)
        with pytest.raises(DanluError, match="disk is full" if error == errno.ENOSPC else "right to write"):
            save(dataset, "replace", replace_yours=True)
    assert {name: text for name, text in texts(folder).items() if text not in (first.get(name), NEW[name])} == {}
    assert not list(folder.glob(text_files.DEBRIS + "*"))
    save(dataset, "replace", replace_yours=True)
    assert texts(folder) == NEW
    for run in reversed(dict.fromkeys(entry.run for entry in Journal(folder).entries())):
        undo(folder, run)
    assert tree(folder) == first


def test_a_change_that_never_happened_changes_no_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journaled, then the disk failed: the text is still the user's, and not one of ours that somebody edited."""
    folder = make(tmp_path / "set", {"a": b"mine", "b": None})
    with monkeypatch.context() as patch:
        failing(patch, "replace", 1, errno.EIO)
        with pytest.raises(DanluError):
            save(captioned(load(folder)), "append")
    assert len(Journal(folder).entries()) == 2
    plan = save(captioned(load(folder)), dry_run=True).plans[0]
    assert [item.state for item in plan.items] == ["yours", "missing"]
    save(captioned(load(folder)), "append")
    assert texts(folder) == {"a.txt": b"mine, a a thing", "b.txt": b"a b thing"}


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "set", TEXTS)
    dataset, before = captioned(load(folder)), tree(folder)
    real = os.mkdir

    def mkdir(path: Any, *args: Any) -> None:
        if ".captions" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied")
        real(path, *args)

    monkeypatch.setattr(os, "mkdir", mkdir)
    with pytest.raises(DanluError, match=r"cannot be written.*'folder'"):
        save(dataset)
    assert tree(folder) == before


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "set", {"a": None})
    failing(monkeypatch, "link", 1, errno.EPERM)
    save(captioned(load(folder)))
    assert texts(folder) == {"a.txt": b"a a thing"}


def test_a_text_that_somebody_writes_meanwhile_is_left(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None, "b": b"mine"})
    calls = 0

    def meddle() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            (folder / "a.txt").write_bytes(b"hers")
            (folder / "b.txt").write_bytes(b"hers")

    saved = save(captioned(load(folder)), "append", watcher=Quiet(meddle))
    assert texts(folder) == {"a.txt": b"hers", "b.txt": b"hers"}
    assert "somebody changed them while captions were being written: a.txt, b.txt" in saved.text()
    assert all(p.caption.startswith("a ") for p in saved.dataset.pictures)
    assert "changed since" in undo(folder) and texts(folder) == {"a.txt": b"hers", "b.txt": b"hers"}


def test_two_writers_wait_for_each_other(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": b"mine"})
    dataset, watcher = captioned(load(folder)), Quiet()
    done = threading.Event()

    def second() -> None:
        save(dataset, "append", watcher=watcher)
        done.set()

    with Journal(folder).locked(Quiet()):
        thread = threading.Thread(target=second)
        thread.start()
        assert not done.wait(0.6)
        (folder / "a.txt").write_bytes(b"mine, more")
    thread.join(10)
    assert "waiting" in watcher.told[0]
    assert texts(folder) == {"a.txt": b"mine, more, a a thing"}, "planned anew once the other had ended"


def test_waiting_can_be_stopped(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None})

    class Stopped(BaseException): ...

    def stop() -> None:
        raise Stopped

    with Journal(folder).locked(Quiet()), pytest.raises(Stopped):
        save(captioned(load(folder)), watcher=Quiet(stop))
    assert texts(folder) == {}
