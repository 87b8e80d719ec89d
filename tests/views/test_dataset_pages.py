"""What a page is told of a dataset: short, in pieces, and quickly."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from danlu.errors import DanluError
from danlu.tests.views import dataset_sets as sets
from danlu.views.dataset.open import Opened, Store, identity
from danlu.views.dataset.pages import MOST, Wanted, matching, page, summary
from danlu.views.dataset.tag_table import tag_table
from danlu.views.errors import NotFound

PLACES = sets.places(Path("/nowhere"))


@pytest.fixture(scope="module")
def large() -> Opened:
    return Store().put(sets.many(2000))


@pytest.fixture
def small(tmp_path: Path) -> Opened:
    texts = {"1": "red, hat", "2": "blue, hat", "10": None, "11": ""}
    return sets.opened(sets.folder_of(tmp_path / "cats", texts), trigger="ohwx")


def test_2000_pictures_are_quick(large: Opened) -> None:
    start = time.thread_time()
    for wanted in (Wanted(1800, 200), Wanted(0, 200, "-name", "cat 1", "red")):
        assert page(large, wanted, PLACES)["items"]
    assert time.thread_time() - start < 0.2
    start = time.thread_time()
    assert len(tag_table(large)["tags"]) == 2010
    assert time.thread_time() - start < 1


def test_a_page_is_never_longer_than_it_may_be(large: Opened) -> None:
    found = page(large, Wanted(0, 10_000), PLACES)
    assert (len(found["items"]), found["total"]) == (MOST, 2000)
    assert [item["n"] for item in page(large, Wanted(1999, 5), PLACES)["items"]] == [1999]
    assert page(large, Wanted(5000, 5), PLACES)["items"] == []


def test_an_item_says_what_there_is(small: Opened) -> None:
    first, *_, last = page(small, Wanted(), PLACES)["items"]
    wanted = {"name": "1.png", "body": "red, hat", "caption": "ohwx, red, hat", "text_file": "1.txt", "size": [64, 64]}
    assert {name: first[name] for name in wanted} == wanted
    assert first["editable"] and not first["missing"] and first["bytes"] > 0
    assert (last["name"], last["body"], last["caption"]) == ("11.png", "", "ohwx")


def test_its_version_changes_with_the_file(small: Opened) -> None:
    before = page(small, Wanted(), PLACES)["items"][0]["version"]
    sets.picture(small.now[0].path, 9, (80, 64))
    assert page(small, Wanted(), PLACES)["items"][0]["version"] != before
    small.now[0].path.unlink()
    assert page(small, Wanted(), PLACES)["items"][0]["missing"]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Wanted(), [0, 1, 2, 3]),
        (Wanted(order="-given"), [3, 2, 1, 0]),
        (Wanted(order="name"), [0, 1, 2, 3]),
        (Wanted(order="-length"), [1, 0, 3, 2]),
        (Wanted(search="BLUE"), [1]),
        (Wanted(search="10.p"), [2]),
        (Wanted(tag="Hat"), [0, 1]),
        (Wanted(tag="ha"), []),
        (Wanted(only="uncaptioned"), [2, 3]),
        (Wanted(only="captioned", search="red"), [0]),
        (Wanted(only="pairs"), []),
    ],
)
def test_orders_and_choices(small: Opened, wanted: Wanted, numbers: list[int]) -> None:
    assert matching(small, wanted) == numbers
    assert page(small, replace(wanted, count=1, numbers=True), PLACES)["numbers"] == numbers


def test_unknown_orders_are_refused(small: Opened) -> None:
    with pytest.raises(DanluError, match="order is 'colour'"):
        matching(small, Wanted(order="colour"))
    with pytest.raises(DanluError, match="only is 'nice'"):
        matching(small, Wanted(only="nice"))


def test_the_summary(small: Opened) -> None:
    found = summary(small, PLACES)
    assert (found["count"], found["captioned"], found["trigger"], found["kind"]) == (4, 2, "ohwx", "tags")
    assert [(f["name"], f["role"], f["count"]) for f in found["folders"]] == [("cats", "train", 4)]
    assert found["editable"] and found["journal"] is None and not found["has_pairs"]
    assert found["report"][0].startswith("4 images, 2 captions")


def test_pictures_of_other_nodes_are_not_edited(tmp_path: Path) -> None:
    hidden = sets.opened(sets.folder_of(tmp_path / "unseen" / "cats", {"1": "red"}))
    found = summary(hidden, sets.places(tmp_path))
    assert not found["editable"] and "below output" in found["why_not"]
    assert not page(hidden, Wanted(), sets.places(tmp_path))["items"][0]["editable"]


def test_captions_that_are_file_names_are_not_edited(tmp_path: Path) -> None:
    named = sets.opened(sets.folder_of(tmp_path / "cats", {"a red cat": None}), captions="filename")
    (item,) = page(named, Wanted(), PLACES)["items"]
    assert (item["body"], item["editable"]) == ("a red cat", False)
    assert "set 'captions'" in item["why_not"]


def test_tags_and_words(tmp_path: Path) -> None:
    texts = {"1": "a red hat, Smile", "2": "smile, hat", "3": None}
    found = sets.opened(sets.folder_of(tmp_path / "cats", texts))
    table = tag_table(found)
    assert table["kind"] == "tags" and table["tags"][0] == {"tag": "Smile", "count": 2, "share": 2 / 3}
    words = {each["tag"]: each["count"] for each in tag_table(found, "words")["tags"]}
    assert words == {"hat": 2, "smile": 2, "red": 1}
    with pytest.raises(DanluError, match="kind"):
        tag_table(found, "letters")


def test_the_same_dataset_has_the_same_id(tmp_path: Path) -> None:
    folder = sets.folder_of(tmp_path / "cats", {"1": "red"})
    first, again = sets.opened(folder), sets.opened(folder)
    assert first.id == again.id != sets.opened(folder, trigger="ohwx").id
    (folder / "1.txt").write_text("blue")
    assert sets.opened(folder).id != first.id


def test_what_nobody_has_asked_for_the_longest_is_forgotten() -> None:
    store, sizes = Store(kept=2), (1, 2, 3)
    ids = [identity(sets.many(size)) for size in sizes]
    store.put(sets.many(1))
    store.put(sets.many(2))
    assert len(store.get(ids[0]).now) == 1
    store.put(sets.many(3))
    with pytest.raises(NotFound, match="Run the node"):
        store.get(ids[1])
    assert store.get(ids[0]) and store.get(ids[2])
    with pytest.raises(NotFound):
        store.get("../../etc/passwd")


def test_a_joined_dataset_has_one_row_of_numbers(tmp_path: Path) -> None:
    from danlu.dataset.joining import join

    one = sets.folder_of(tmp_path / "cats", {"1": "red"})
    two = sets.folder_of(tmp_path / "dogs", {"1": "brown", "2": None})
    parts = [sets.opened(one, trigger="ohwx").dataset(), sets.opened(two, trigger="sks").dataset()]
    both = Store().put(join(parts, [1.0, 0.5], ["train", "validation"], []))
    found = page(both, Wanted(only="validation"), PLACES)
    assert [(item["n"], item["folder"], item["trigger"]) for item in found["items"]] == [(1, 1, "sks"), (2, 1, "sks")]
    assert [f["weight"] for f in summary(both, PLACES)["folders"]] == [1.0, 0.5]
    assert len(both.dataset(frozenset({0, 2})).joined[0].pictures) == 1
