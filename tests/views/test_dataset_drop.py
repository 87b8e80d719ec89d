"""Pictures moved aside and back: nothing is deleted, nothing overwritten, whatever interrupts it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from danlu.dataset import aside
from danlu.dataset.aside import all_aside
from danlu.dataset.joining import join
from danlu.dataset.model import FolderRequest
from danlu.dataset.scan import fingerprint, load_folder
from danlu.errors import DanluError
from danlu.tests.views import dataset_sets as sets
from danlu.views.dataset.dropping import drop, dropped, dropped_thumbnail, restore
from danlu.views.dataset.open import Opened, Store
from danlu.views.dataset.pages import Wanted, page
from danlu.views.errors import NotFound

TEXTS = {"1": "red", "2": "blue", "3": None}


@pytest.fixture
def cats(tmp_path: Path) -> Path:
    return sets.folder_of(tmp_path / "cats", TEXTS)


def files(folder: Path) -> dict[str, bytes]:
    """All that a dataset is read from."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if ".danlu" not in path.parts}


def places(opened: Opened) -> Any:
    return sets.places(opened.parts[0].folder.parent)


def test_out_and_back(cats: Path) -> None:
    request, before = FolderRequest(str(cats)), files(cats)
    opened, print_before = sets.opened(cats), fingerprint(request)
    found = drop(opened, [0, 2], places(opened))
    assert [(each["name"], each["n"]) for each in found["dropped"]] == [("1.png", 0), ("3.png", 2)]
    assert sorted(files(cats)) == ["2.png", "2.txt"] and fingerprint(request) != print_before
    assert [item["n"] for item in page(opened, Wanted(), places(opened))["items"]] == [1]
    assert [p.name for p in load_folder(request).pictures] == ["2.png"]
    assert load_folder(FolderRequest(str(cats), recursive=True)).report.notes == ()
    listed = dropped(opened)["items"]
    assert {each["name"]: each["body"] for each in listed} == {"1.png": "red", "3.png": ""}
    assert dropped_thumbnail(opened, listed[0]["key"], 128).content[:2] == b"\xff\xd8"
    back = restore(opened, ["1.png", next(e["key"] for e in listed if e["name"] == "3.png")], places(opened))
    assert back["numbers"] == [0, 2] and files(cats) == before and not (cats / ".danlu").exists()
    assert dropped(opened)["items"] == [] and len(page(opened, Wanted(), places(opened))["items"]) == 3


def test_a_dataset_that_was_opened_later_knows_what_was_dropped(cats: Path) -> None:
    before = files(cats)
    drop(sets.opened(cats), [1], sets.places(cats.parent))
    later = sets.opened(cats)
    assert [(each["name"], each["n"]) for each in dropped(later)["items"]] == [("2.png", None)]
    assert restore(later, ["2.png"], places(later))["not_in_dataset"] == ["2.png"]
    assert files(cats) == before


def test_masks_and_befores_go_along_unless_another_needs_them(tmp_path: Path, cats: Path) -> None:
    for name in ("1", "2", "3"):
        sets.picture(tmp_path / "masks" / f"{name}.png", 7)
        sets.picture(tmp_path / "was" / f"{name}.png", 5 + int(name))
    inputs = {"mask_source": "folder", "mask_folder": str(tmp_path / "masks"), "before_folder": str(tmp_path / "was")}
    opened = sets.opened(cats, **inputs)
    before = files(tmp_path)
    (found,) = drop(opened, [0], places(opened))["dropped"]
    assert found["files"] == ["1.png", "1.txt", "1.png", "1.png"]
    gone = {"cats/1.png", "cats/1.txt", "masks/1.png", "was/1.png"}
    assert before.keys() - files(tmp_path).keys() == gone
    assert len(sets.opened(cats, **inputs).now) == 2, "pairs and masks still belong together"
    restore(opened, ["1.png"], places(opened))
    assert files(tmp_path) == before
    shared = sets.opened(cats)
    shared.now = tuple(replace(picture, befores=(tmp_path / "was" / "1.png",)) for picture in shared.now)
    drop(shared, [0], places(shared))
    assert (tmp_path / "was" / "1.png").exists()


def test_a_picture_of_two_joined_datasets_goes_out_of_both(cats: Path) -> None:
    part = sets.opened(cats).dataset()
    both = Store().put(join([part, part], [1.0, 2.0], [], []))
    assert len(drop(both, [0], places(both))["dropped"]) == 1
    assert both.dropped == {0, 3}
    restore(both, ["1.png"], places(both))
    assert both.dropped == frozenset()


def test_nothing_is_overwritten(cats: Path) -> None:
    opened = sets.opened(cats)
    drop(opened, [0], places(opened))
    (cats / "1.txt").write_text("another")
    with pytest.raises(DanluError, match=r"another 1\.txt"):
        restore(opened, ["1.png"], places(opened))
    assert (cats / "1.txt").read_text() == "another" and not (cats / "1.png").exists()
    (cats / "1.txt").unlink()
    restore(opened, ["1.png"], places(opened))
    assert (cats / "1.txt").read_text() == "red"


def test_the_same_name_twice(cats: Path) -> None:
    opened = sets.opened(cats)
    drop(opened, [0], places(opened))
    sets.picture(cats / "1.png", 200)
    again, newest = sets.opened(cats), (cats / "1.png").read_bytes()
    drop(again, [0], places(again))
    assert [each["name"] for each in dropped(again)["items"]] == ["1.png", "1.png"]
    restore(again, [dropped(again)["items"][0]["key"]], places(again))
    assert (cats / "1.png").read_bytes() == newest and len(dropped(again)["items"]) == 1


@pytest.mark.parametrize("moves", [0, 1])
def test_a_crash_leaves_all_that_is_needed(cats: Path, monkeypatch: pytest.MonkeyPatch, moves: int) -> None:
    before, rename = files(cats), os.rename
    done: list[Any] = []

    def falls(source: Any, target: Any) -> None:
        if len(done) == moves:
            raise KeyboardInterrupt
        done.append(source)
        rename(source, target)

    opened = sets.opened(cats)
    monkeypatch.setattr(aside.os, "rename", falls)
    with pytest.raises(KeyboardInterrupt):
        drop(opened, [0], places(opened))
    monkeypatch.setattr(aside.os, "rename", rename)
    after = sets.opened(cats)
    names = [each["name"] for each in dropped(after)["items"]]
    assert names == (["1.png"] if moves else [])
    if names:
        restore(after, names, places(after))
    assert files(cats) == before


def test_a_folder_that_only_danlu_uses(tmp_path: Path) -> None:
    opened = sets.opened(sets.folder_of(tmp_path / "unseen" / "x", {"1": "red"}))
    with pytest.raises(DanluError, match="only Danlu uses"):
        drop(opened, [0], sets.places(tmp_path))


def test_what_somebody_has_deleted_meanwhile(cats: Path) -> None:
    opened = sets.opened(cats)
    (cats / "1.txt").unlink()
    (cats / "2.png").unlink()
    with pytest.raises(NotFound, match="not there any more"):
        drop(opened, [0, 1], places(opened))
    assert (cats / "1.png").exists() and not (cats / ".danlu").exists()
    assert drop(opened, [0], places(opened))["dropped"][0]["files"] == ["1.png"]


@pytest.mark.parametrize("numbers", [[9], [-1]])
def test_no_such_picture(cats: Path, numbers: list[int]) -> None:
    opened = sets.opened(cats)
    with pytest.raises(NotFound):
        drop(opened, [0, *numbers], places(opened))
    assert len(files(cats)) == 5
    with pytest.raises(NotFound):
        restore(opened, ["../../etc/passwd"], places(opened))


pytestmark_links = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")


@pytestmark_links
def test_links_that_lead_outside_are_not_followed(tmp_path: Path, cats: Path) -> None:
    outside = sets.folder_of(tmp_path / "elsewhere", {"5": "five"})
    (cats / "below").symlink_to(outside)
    opened = sets.opened(cats, recursive=True)
    n = next(n for n, picture in enumerate(opened.now) if picture.name == "below/5.png")
    with pytest.raises(DanluError, match="link"):
        drop(opened, [0, n], places(opened))
    assert (cats / "1.png").exists(), "nothing at all was moved"
    (tmp_path / "trap").mkdir()
    (cats / ".danlu").symlink_to(tmp_path / "trap")
    opened = sets.opened(cats)
    with pytest.raises(DanluError, match="link"):
        drop(opened, [0], places(opened))
    assert list((tmp_path / "trap").iterdir()) == [] and (cats / "1.png").exists()


@pytestmark_links
@pytest.mark.parametrize(
    "listed",
    [
        [[".", "../secret.txt"]],
        [["..", "secret.txt"]],
        [["/", "etc/hostname"]],
        [[".", "door/secret.txt"]],
        [["door", "secret.txt"]],
        [[".", "inner/secret.txt"]],
    ],
)
def test_a_list_of_a_stranger_brings_nothing_from_elsewhere(tmp_path: Path, cats: Path, listed: list[Any]) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    home = cats / ".danlu" / "dropped" / "20260101-000000-abcdef-0"
    home.mkdir(parents=True)
    (home / "door").symlink_to(tmp_path)
    (home / "inner").symlink_to(tmp_path)
    (cats / "door").symlink_to(tmp_path)
    values = {"name": "x.png", "time": 0.0, "files": listed, "about": {}}
    (home / "files.json").write_text(json.dumps(values))
    opened = sets.opened(cats)
    with pytest.raises((NotFound, DanluError)):
        restore(opened, ["x.png"], places(opened))
    assert (tmp_path / "secret.txt").read_text() == "secret"


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"files": 3}', '{"name": "x", "time": 0, "files": [["."]]}', "[" * 9999,
        '{"name": "x", "time": 1%s, "files": [[".", "x.png"]]}' % ("0" * 400),
    ],
)  # fmt: skip
def test_broken_lists_are_none(cats: Path, text: str) -> None:
    home = cats / ".danlu" / "dropped" / "20260101-000000-abcdef-0"
    home.mkdir(parents=True)
    (home / "files.json").write_text(text)
    (home / "x.png").write_bytes(b"x")
    assert all_aside(cats) == []
