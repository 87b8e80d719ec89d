"""Captions that are typed on a page: into files by the journal, never over what somebody else has written."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from danlu.captioning.compose import Recipe
from danlu.captioning.compose_set import compose_dataset
from danlu.captioning.edits import Edits, edit_dataset
from danlu.captioning.journal import Journal
from danlu.captioning.undo import undo_captions
from danlu.dataset.model import FolderRequest
from danlu.dataset.scan import load_folder
from danlu.errors import DanluError
from danlu.tests.captioning.caption_sets import Quiet, captioned
from danlu.tests.views import dataset_sets as sets
from danlu.views.dataset import open as open_
from danlu.views.dataset.changes import apply, plan, replacing, tag_change, told
from danlu.views.dataset.dropping import drop, restore
from danlu.views.dataset.open import Opened, Store
from danlu.views.dataset.pages import Wanted, page, summary
from danlu.views.dataset.saving import Edit, edit_captions
from danlu.views.dataset.tag_table import tag_table
from danlu.views.dataset.undoing import undo
from danlu.views.errors import Busy, NotFound

TEXTS = {"1": "red, hat", "2": "blue, hat", "3": None, "4": ""}


@pytest.fixture
def cats(tmp_path: Path) -> Path:
    return sets.folder_of(tmp_path / "cats", TEXTS)


@pytest.fixture
def opened(cats: Path) -> Opened:
    return sets.opened(cats, trigger="ohwx")


def edit(opened: Opened, *edits: tuple[int, str, str]) -> dict[str, Any]:
    return edit_captions(opened, [Edit(*each) for each in edits], sets.places(opened.parts[0].folder.parent))


def texts(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.txt")}


def bodies(opened: Opened) -> list[str]:
    return [picture.body for picture in opened.now]


def places(opened: Opened) -> Any:
    return sets.places(opened.parts[0].folder.parent)


def test_an_edit_reaches_its_file_and_the_page(cats: Path, opened: Opened) -> None:
    given = opened.given
    found = edit(opened, (0, "green, hat", "red, hat"), (2, "new\n one ", ""))
    assert texts(cats) == {"1": "green, hat", "2": "blue, hat", "3": "new one", "4": ""}
    assert found["written"] == 2 and found["left"] == []
    assert [(item["n"], item["caption"], item["changed"]) for item in found["items"]] == [
        (0, "ohwx, green, hat", True),
        (2, "ohwx, new one", True),
    ]
    assert page(opened, Wanted(only="changed"), places(opened))["total"] == 2
    assert opened.given == given, "what the node has given is as it was"
    again = load_folder(FolderRequest(str(cats), trigger="ohwx"))
    assert [p.caption for p in again.pictures] == [p.caption for p in opened.now]


def test_it_is_undone_as_the_node_does(cats: Path, opened: Opened) -> None:
    edit(opened, (0, "green", "red, hat"), (2, "new", ""))
    assert [entry.body for entry in Journal(cats).entries()] == ["green", "new"]
    undo_captions([cats], "", True, Quiet())
    assert texts(cats) == {"1": "red, hat", "2": "blue, hat", "4": ""}


def test_undo_from_the_page(cats: Path, opened: Opened) -> None:
    edit(opened, (0, "green", "red, hat"), (2, "new", ""))
    assert summary(opened, places(opened))["journal"]["count"] == 2
    dry = undo(opened, "", False, places(opened))
    assert (dry["restored"], dry["removed"], dry["applied"]) == (["1.txt"], ["3.txt"], False)
    assert {"name": "1.txt", "before": "green", "after": "red, hat"} in dry["differences"]
    assert texts(cats)["1"] == "green"
    done = undo(opened, dry["run"], True, places(opened))
    assert done["applied"] and texts(cats) == {"1": "red, hat", "2": "blue, hat", "4": ""}
    assert opened.now == opened.given and not opened.changed
    again = undo(opened, "", False, places(opened))
    assert again["run"] is None and "undone already" in again["note"]
    back = undo(opened, done["undo"], True, places(opened))
    assert back["applied"] and texts(cats)["1"] == "green" and bodies(opened)[:3] == ["green", "blue, hat", "new"]


def test_a_text_can_be_emptied(cats: Path, opened: Opened) -> None:
    edit(opened, (0, "  ", "red, hat"))
    assert texts(cats)["1"] == "" and opened.now[0].caption == "ohwx"
    undo(opened, "", True, places(opened))
    assert texts(cats)["1"] == "red, hat" and bodies(opened)[0] == "red, hat"


def test_the_same_text_writes_nothing(cats: Path, opened: Opened) -> None:
    before = os.stat(cats / "1.txt")
    assert edit(opened, (0, " red,  hat", "red, hat"))["written"] == 0
    assert os.stat(cats / "1.txt") == before and not (cats / ".captions").exists()


def test_who_writes_meanwhile_is_not_overwritten(cats: Path, opened: Opened) -> None:
    (cats / "1.txt").write_text("somebody's words")
    (cats / "3.txt").write_text("a file that was not there")
    with pytest.raises(Busy, match=r"1\.png.*3\.png"):
        edit(opened, (0, "mine", "red, hat"), (1, "mine too", "blue, hat"), (2, "mine", ""))
    assert texts(cats) == {"1": "somebody's words", "2": "blue, hat", "3": "a file that was not there", "4": ""}
    assert bodies(opened)[0] == "somebody's words", "the page sees what is there"
    edit(opened, (0, "mine", "somebody's words"))
    assert texts(cats)["1"] == "mine"
    undo(opened, "", True, places(opened))
    assert texts(cats)["1"] == "somebody's words"


def test_two_pages_at_once(cats: Path, opened: Opened) -> None:
    edit(opened, (0, "first", "red, hat"))
    with pytest.raises(Busy):
        edit(opened, (0, "second", "red, hat"))
    assert texts(cats)["1"] == "first"
    edit(opened, (0, "second", "first"))
    (cats / "1.txt").write_text("by hand")
    with pytest.raises(Busy):
        edit(opened, (0, "third", "second"))


def test_a_picture_that_another_page_has_dropped(cats: Path, opened: Opened) -> None:
    other, before = sets.opened(cats, trigger="ohwx"), texts(cats)
    drop(other, [0], places(other))
    change = replacing(opened, "hat", "cap", False, False, False)
    found = plan(opened, change, None, places(opened))
    assert [edit.n for edit in found.edits] == [1]
    with pytest.raises(DanluError, match="not there any more"):
        edit(opened, (0, "green", "red, hat"))
    restore(other, ["1.png"], places(other))
    assert texts(cats) == before, "nothing lay where the caption belongs"


def test_whoever_waits_too_long_is_told(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_, "PATIENCE", 0.05)
    with ThreadPoolExecutor(1) as elsewhere, opened.changing():
        work = elsewhere.submit(edit, opened, (0, "green", "red, hat"))
        with pytest.raises(Busy, match="is being changed"):
            work.result(timeout=30)
    assert edit(opened, (0, "green", "red, hat"))["written"] == 1


def test_a_page_shows_what_somebody_has_written_since(cats: Path, opened: Opened) -> None:
    (cats / "1.txt").write_text("by hand, hat")
    (cats / "3.txt").write_text("a new one, hat")
    found = page(opened, Wanted(), places(opened))["items"]
    assert [(item["body"], item["caption"]) for item in found[::2]] == [
        ("by hand, hat", "ohwx, by hand, hat"),
        ("a new one, hat", "ohwx, a new one, hat"),
    ]
    with pytest.raises(Busy):  # of a page that has not looked since
        edit(opened, (0, "mine", "red, hat"))
    (cats / "2.txt").unlink()
    assert tag_table(opened)["tags"][0] == {"tag": "hat", "count": 2, "share": 0.5}
    (cats / "3.txt").write_text("again, hat")
    found = planned(opened, replacing(opened, "hat", "cap", False, False, False))
    assert [line["after"] for line in found["differences"]] == ["by hand, cap", "again, cap"]


def test_texts_that_are_in_memory_only_are_not_taken_for_stale(cats: Path) -> None:
    """Edit Tags, say, was here, and nothing was saved."""
    edited = edit_dataset(load_folder(FolderRequest(str(cats))), Edits(remove="hat")).dataset
    opened = Store().put(edited)
    assert [item["body"] for item in page(opened, Wanted(), places(opened))["items"]] == ["red", "blue", "", ""]
    edit(opened, (0, "green", "red"))
    assert texts(cats)["1"] == "green"
    with pytest.raises(Busy):
        edit(opened, (1, "mine", "what it never was"))
    undo(opened, "", True, places(opened))
    assert texts(cats)["1"] == "red, hat" and bodies(opened)[:2] == ["red", "blue"]


def test_a_text_that_was_not_to_be_read_is_not_overwritten(cats: Path) -> None:
    opened = sets.opened(cats, captions="none")
    assert bodies(opened) == ["", "", "", ""]
    assert page(opened, Wanted(), places(opened))["items"][0]["body"] == ""
    with pytest.raises(DanluError, match="1.txt beside it was not to be read"):
        edit(opened, (0, "mine", ""))
    assert texts(cats)["1"] == "red, hat"


def test_a_captioners_text_and_a_file_that_appears(cats: Path) -> None:
    opened = Store().put(captioned(load_folder(FolderRequest(str(cats))), "a {} thing"))
    (cats / "3.txt").write_text("by hand")
    with pytest.raises(Busy):
        edit(opened, (2, "mine", "a 3 thing"))
    assert bodies(opened)[2] == "by hand", "the page shows it from now on, and can go on from there"
    edit(opened, (2, "mine", "by hand"))
    assert texts(cats)["3"] == "mine"


@pytest.mark.parametrize(
    ("edits", "error", "words"),
    [
        ([(99, "x", "")], NotFound, "no picture 99"),
        ([(-1, "x", "")], NotFound, "no picture -1"),
        ([(0, "x" * 20_001, "red, hat")], DanluError, "longer"),
        ([(0, "x", "red, hat"), (0, "y", "red, hat")], DanluError, "two captions"),
    ],
)
def test_what_cannot_be(cats: Path, opened: Opened, edits: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        edit(opened, *edits)
    assert texts(cats) == {"1": "red, hat", "2": "blue, hat", "4": ""}


def test_pictures_that_share_a_file_are_left_alone(cats: Path) -> None:
    sets.picture(cats / "1.jpg")
    opened = sets.opened(cats)
    with pytest.raises(DanluError, match="rename one of them"):
        edit(opened, (0, "x", "red, hat"))


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_are_never_written_through(tmp_path: Path, cats: Path) -> None:
    (tmp_path / "outside.txt").write_text("secret")
    (cats / "3.txt").symlink_to(tmp_path / "outside.txt")
    opened = sets.opened(cats)
    with pytest.raises(DanluError, match="link"):
        edit(opened, (2, "x", "secret"))
    outside = sets.folder_of(tmp_path / "elsewhere", {"5": None})
    (cats / "below").symlink_to(outside)
    opened = sets.opened(cats, recursive=True)
    n = next(n for n, picture in enumerate(opened.now) if picture.name == "below/5.png")
    with pytest.raises(DanluError):
        edit(opened, (n, "x", ""))
    assert (tmp_path / "outside.txt").read_text() == "secret" and list(outside.glob("*.txt")) == []


def test_tables_are_written_in_place_beside_text_files_in_one_run(cats: Path) -> None:
    rows = [{"file_name": "3.png", "text": "of a table", "more": 1}]
    (cats / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    opened = sets.opened(cats)
    found = edit(opened, (0, "green", "red, hat"), (2, "changed", "of a table"))
    assert found["written"] == 2 and not (cats / "3.txt").exists()
    row = {"file_name": "3.png", "text": "changed", "more": 1}
    assert json.loads((cats / "metadata.jsonl").read_text()) == row
    undo(opened, "", True, places(opened))
    assert json.loads((cats / "metadata.jsonl").read_text()) == rows[0] and texts(cats)["1"] == "red, hat"
    assert opened.now == opened.given


def test_what_a_captioner_said_is_written_when_it_is_edited(cats: Path) -> None:
    dataset = captioned(load_folder(FolderRequest(str(cats), trigger="ohwx")), "a {} thing")
    opened = Store().put(dataset)
    edit(opened, (2, "a third thing", "a 3 thing"))
    assert texts(cats)["3"] == "a third thing" and opened.now[2].captioner == ""
    undo(opened, "", True, places(opened))
    assert opened.now[2] == opened.given[2], "the captioner's text is back, in memory as before"
    assert not (cats / "3.txt").exists()


def test_composed_captions_are_composed_anew(cats: Path) -> None:
    recipe = Recipe(prefix="photo of", suffix="outdoors")
    opened = Store().put(compose_dataset(load_folder(FolderRequest(str(cats), trigger="ohwx")), recipe).dataset)
    edit(opened, (0, "green, hat", "red, hat"))
    assert texts(cats)["1"] == "green, hat"
    assert opened.now[0].caption == "ohwx, photo of, green, hat, outdoors"
    again = compose_dataset(load_folder(FolderRequest(str(cats), trigger="ohwx")), recipe).dataset
    assert again.pictures[0].caption == opened.now[0].caption


def planned(opened: Opened, change: Any, only: set[int] | None = None) -> dict[str, Any]:
    return told(opened, plan(opened, change, only, places(opened)))


def replaced(opened: Opened, find: str, new: str, **flags: bool) -> list[tuple[str, str]]:
    named = [flags.get(name, False) for name in ("regex", "whole_tags", "case")]
    found = planned(opened, replacing(opened, find, new, *named))
    return [(line["before"], line["after"]) for line in found["differences"]]


def test_a_dry_run_then_the_same_for_good_then_undo(cats: Path, opened: Opened) -> None:
    change = replacing(opened, "hat", "cap", False, False, False)
    dry = planned(opened, change)
    assert dry["changed"] == 2 and texts(cats)["1"] == "red, hat"
    assert dry["differences"][0] == {"n": 0, "name": "1.png", "before": "red, hat", "after": "red, cap"}
    done = apply(opened, change, None, places(opened), dry["plan"])
    assert done["changed"] == 2 and texts(cats) == {"1": "red, cap", "2": "blue, cap", "4": ""}
    undo(opened, "", True, places(opened))
    assert texts(cats) == {"1": "red, hat", "2": "blue, hat", "4": ""} and opened.now == opened.given


def test_what_has_changed_since_the_dry_run_is_refused(cats: Path, opened: Opened) -> None:
    change = replacing(opened, "hat", "cap", False, False, False)
    name = planned(opened, change)["plan"]
    edit(opened, (1, "blue, big hat", "blue, hat"))
    with pytest.raises(Busy, match="since this was planned"):
        apply(opened, change, None, places(opened), name)
    name = planned(opened, change)["plan"]
    (cats / "1.txt").write_text("another hat")
    with pytest.raises(Busy, match="since this was planned"):
        apply(opened, change, None, places(opened), name)
    assert texts(cats) == {"1": "another hat", "2": "blue, big hat", "4": ""}


def test_only_some(opened: Opened) -> None:
    change = replacing(opened, "hat", "cap", False, False, False)
    assert [line["n"] for line in planned(opened, change, {1, 3})["differences"]] == [1]
    with pytest.raises(NotFound):
        planned(opened, change, {77})


def test_ways_to_replace(tmp_path: Path) -> None:
    texts = {"1": "red hat, hat, Hat box", "2": "a\\1b, c"}
    opened = sets.opened(sets.folder_of(tmp_path / "cats", texts))
    assert replaced(opened, "hat", "cap") == [("red hat, hat, Hat box", "red cap, cap, cap box")]
    assert replaced(opened, "hat", "cap", case=True)[0][1] == "red cap, cap, Hat box"
    assert replaced(opened, "hat", "cap", whole_tags=True)[0][1] == "red hat, cap, Hat box"
    assert replaced(opened, "hat", "", whole_tags=True)[0][1] == "red hat, Hat box"
    assert replaced(opened, r"(\w+) hat", r"\1 cap", regex=True)[0][1] == "red cap, hat, Hat box"
    assert replaced(opened, r".* hat", "cap", regex=True, whole_tags=True)[0][1] == "cap, hat, Hat box"
    assert replaced(opened, "\\1", "\\2") == [("a\\1b, c", "a\\2b, c")]
    assert replaced(opened, ", hat", "")[0][1] == "red hat box"
    assert replaced(opened, "red hat", "")[0][1] == "hat, Hat box", "no empty tag is left"
    assert replaced(opened, "nothing like it", "x") == []


@pytest.mark.parametrize(
    ("find", "flags"), [("(", {"regex": True}), ("", {}), ("x" * 3000, {}), ("a\nb", {"regex": True})]
)
def test_what_cannot_be_looked_for(opened: Opened, find: str, flags: dict[str, bool]) -> None:
    with pytest.raises(DanluError, match="find"):
        replaced(opened, find, "x", **flags)


def test_an_expression_that_never_ends_is_stopped(tmp_path: Path) -> None:
    opened = sets.opened(sets.folder_of(tmp_path / "cats", {"1": "a" * 60 + "!"}))
    with pytest.raises(DanluError, match="too long to match"):
        replaced(opened, r"(a|aa)+$", "x", regex=True)


def tagged(opened: Opened, operation: str, tags: str, new: str = "", place: str = "end") -> list[str]:
    found = planned(opened, tag_change(opened, operation, tags, new, place))
    return [line["after"] for line in found["differences"]]


def test_tags(opened: Opened) -> None:
    assert tagged(opened, "add", "night") == ["red, hat, night", "blue, hat, night"]
    assert tagged(opened, "add", "night, red", place="front") == ["night, red, hat", "night, red, blue, hat"]
    assert tagged(opened, "remove", "HAT") == ["red", "blue"]
    assert tagged(opened, "rename", "hat", "cap, warm") == ["red, cap, warm", "blue, cap, warm"]
    assert tagged(opened, "rename", "hat", "red") == ["red", "blue, red"]
    assert tagged(opened, "remove", "ha") == []
    for wrong in (("destroy", "hat"), ("add", " , "), ("add", "x", "", "middle")):
        with pytest.raises(DanluError):
            tagged(opened, *wrong)


def test_2000_captions_are_written_in_a_time_that_grows_with_their_number(tmp_path: Path) -> None:
    def seconds(count: int) -> float:
        dataset = sets.many(count, tmp_path / str(count))
        dataset.folder.mkdir()
        for picture in dataset.pictures:
            picture.path.touch()
            picture.path.with_suffix(".txt").write_text(picture.body)
        opened, start = Store().put(dataset), time.thread_time()
        change = replacing(opened, "cat", "dog", False, False, False)
        assert apply(opened, change, None, places(opened), planned(opened, change)["plan"])["changed"] == count
        return time.thread_time() - start

    small = seconds(50)
    assert seconds(500) < 20 * small


def test_2000_captions_at_once(tmp_path: Path) -> None:
    opened = Store().put(sets.many(2000, tmp_path))
    for picture in opened.now:
        picture.path.touch()
    start = time.thread_time()
    found = planned(opened, replacing(opened, "cat", "dog", False, False, False))
    assert (found["changed"], len(found["differences"])) == (2000, 200)
    assert time.thread_time() - start < 1
