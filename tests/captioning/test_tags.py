"""Tags of a whole set: removed, replaced, added, moved, sorted, counted; sentences are never split at commas."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import pytest

from danlu.captioning.edits import Edits, edit_dataset
from danlu.captioning.frequency import as_csv, as_table, frequencies
from danlu.captioning.patterns import Clock, Pattern, patterns
from danlu.captioning.traits import TraitChoice, bake_in
from danlu.errors import DanluError

from .caption_sets import composed, load, make, save, texts, tree

TAGS = "ohwx, 1girl, Red Hair, blue_eyes, smile, red hair"
PROSE = "ohwx, A girl with red hair, blue eyes, and a smile. She sits. She sits."


def edited(tmp_path: Path, caption: str, trigger: str = "ohwx", **edits: Any) -> str:
    """The body after the edit; the final caption has to agree."""
    folder = make(tmp_path / "set", {"a": caption.encode()})
    found = edit_dataset(load(folder, trigger=trigger), Edits(**edits))
    (picture,) = found.dataset.pictures
    assert picture.caption == picture.body.replace(
        "[trigger]", trigger
    ) or picture.caption == f"{trigger}, {picture.body}".rstrip(", ")
    return picture.body


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ({}, "ohwx, 1girl, Red Hair, blue_eyes, smile"),
        ({"dedupe": False}, TAGS),
        ({"remove": "red hair, SMILE"}, "ohwx, 1girl, blue_eyes"),
        ({"remove": "blue eyes"}, "ohwx, 1girl, Red Hair, smile"),
        ({"remove": "red"}, "ohwx, 1girl, Red Hair, blue_eyes, smile"),
        ({"remove": "*hair\nblue*"}, "ohwx, 1girl, smile"),
        ({"remove": "*hair", "match": "exact"}, "ohwx, 1girl, Red Hair, blue_eyes, smile"),
        ({"remove": "red.*|blue.*", "match": "regex"}, "ohwx, 1girl, smile"),
        ({"remove": "red", "match": "regex"}, "ohwx, 1girl, Red Hair, blue_eyes, smile"),
        ({"remove": "*"}, "ohwx"),
        ({"replace": "red hair -> crimson hair, long hair"}, "ohwx, 1girl, crimson hair, long hair, blue_eyes, smile"),
        ({"replace": "smile ->"}, "ohwx, 1girl, Red Hair, blue_eyes"),
        ({"replace": "smile => grin\n1girl → 1boy"}, "ohwx, 1boy, Red Hair, blue_eyes, grin"),
        ({"replace": r"(\w+)_eyes -> \1 iris", "match": "regex"}, "ohwx, 1girl, Red Hair, blue iris, smile"),
        ({"add_front": "best, 1girl"}, "ohwx, best, 1girl, Red Hair, blue_eyes, smile"),
        ({"add_end": "outdoors, SMILE"}, "ohwx, 1girl, Red Hair, blue_eyes, smile, outdoors"),
        ({"move_to_front": "smile, blue*"}, "ohwx, smile, blue_eyes, 1girl, Red Hair"),
        ({"sort": "alphabet"}, "ohwx, 1girl, blue_eyes, Red Hair, smile"),
        ({"sort": "alphabet", "move_to_front": "smile"}, "ohwx, smile, 1girl, blue_eyes, Red Hair"),
        ({"only_with": "grin", "remove": "1girl"}, TAGS),
        ({"only_with": "smile, grin", "remove": "1girl"}, "ohwx, Red Hair, blue_eyes, smile"),
        ({"remove": "ohwx"}, "ohwx, 1girl, Red Hair, blue_eyes, smile"),
        ({"replace": "ohwx -> sks"}, "ohwx, 1girl, Red Hair, blue_eyes, smile"),
    ],
)
def test_tags(tmp_path: Path, edits: dict[str, Any], expected: str) -> None:
    assert edited(tmp_path, TAGS, **edits) == expected


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ({}, "ohwx, A girl with red hair, blue eyes, and a smile. She sits."),
        ({"dedupe": False}, PROSE),
        ({"remove": "blue eyes"}, "ohwx, A girl with red hair, and a smile. She sits."),
        ({"remove": "She sits"}, "ohwx, A girl with red hair, blue eyes, and a smile."),
        ({"remove": "hair, sit"}, "ohwx, A girl with red, blue eyes, and a smile. She sits."),
        ({"remove": "re* hair"}, "ohwx, A girl with, blue eyes, and a smile. She sits."),
        ({"replace": "red hair -> black hair"}, "ohwx, A girl with black hair, blue eyes, and a smile. She sits."),
        (
            {"replace": r"(\w+) eyes -> \1 shoes", "match": "regex"},
            "ohwx, A girl with red hair, blue shoes, and a smile. She sits.",
        ),
        (
            {"add_front": "A photo, in colour"},
            "ohwx, A photo, in colour. A girl with red hair, blue eyes, and a smile. She sits.",
        ),
        ({"add_end": "Soft light."}, "ohwx, A girl with red hair, blue eyes, and a smile. She sits. Soft light."),
        ({"add_end": "She sits"}, "ohwx, A girl with red hair, blue eyes, and a smile. She sits."),
        ({"move_to_front": "sits"}, "She sits. ohwx, A girl with red hair, blue eyes, and a smile."),
        ({"sort": "alphabet"}, "ohwx, A girl with red hair, blue eyes, and a smile. She sits."),
        ({"remove": "ohwx"}, "ohwx, A girl with red hair, blue eyes, and a smile. She sits."),
        ({"only_with": "dog", "remove": "girl"}, PROSE),
    ],
)
def test_prose(tmp_path: Path, edits: dict[str, Any], expected: str) -> None:
    assert edited(tmp_path, PROSE, **edits) == expected


def test_words_end_where_they_end(tmp_path: Path) -> None:
    assert edited(tmp_path, "A cat in a category. Yes.", remove="cat") == "A in a category. Yes."
    assert edited(tmp_path / "2", "一只红发狗在跑。", remove="红发", trigger="") == "一只 狗在跑。".replace(" ", " ")


def test_placeholders_are_kept(tmp_path: Path) -> None:
    assert edited(tmp_path, "[trigger], a, b", remove="*", add_front="c") == "[trigger], c"


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|aa)+$", r"^(\w+\s?)*$", r"(.*)*(.*)*x$", r"(?b)(?:a.*b.*c.*)$"])
@pytest.mark.parametrize("kind", ["tags", "prose"])
def test_no_expression_hangs(tmp_path: Path, pattern: str, kind: str) -> None:
    folder = make(tmp_path / "set", {str(number): b"a" * 2900 + b"!" for number in range(2)})
    start = time.process_time()
    try:
        edit_dataset(load(folder), Edits(remove=pattern, match="regex", kind=kind))
    except DanluError as error:
        assert "takes too long" in str(error) and "'remove'" in str(error)
    assert time.process_time() - start < 12


def test_the_worst_expressions_are_stopped(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": b"a" * 2900 + b"!"})
    with pytest.raises(DanluError, match=r"'replace': '\(a\+\)\+\$' takes too long"):
        edit_dataset(load(folder), Edits(replace="(a+)+$ -> b", match="regex", kind="prose"))


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"remove": "(", "match": "regex"}, "'remove': '\\(' is no regular expression"),
        ({"remove": "((a{1000}){1000}){1000}", "match": "regex"}, "too large"),
        ({"remove": "(?:abcdef){e<=5}", "match": "regex"}, "too large, or no numbers"),
        ({"remove": "a" * 301, "match": "regex"}, "300 characters"),
        ({"replace": "a -> \\2", "match": "regex"}, "'replace'"),
        ({"replace": "red hair"}, "'replace': the line 'red hair' is not like"),
        ({"replace": "-> x"}, "not like 'old -> new'"),
        ({"match": "fuzzy", "remove": "a"}, "'match'"),
        ({"sort": "size"}, "'sort'"),
        ({"kind": "song"}, "'kind'"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, edits: dict[str, Any], message: str) -> None:
    with pytest.raises(DanluError, match=message):
        edited(tmp_path, "a, b", **edits)


def test_the_dry_run_tells_what_would_change_and_changes_nothing(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": b"x, y", "b": b"y, z", "c": None})
    before, loaded = tree(folder), load(folder)
    found = edit_dataset(loaded, Edits(remove="x, q"))
    assert found.difference() == "1 text changed:\na.png\n- x, y\n+ y"
    assert found.lines(applied=False) == [
        "1 of 3 captions (tags) would change (apply is off)",
        "In no caption: q",
        "1 picture without a caption, left empty: c.png",
    ]
    assert [p.body for p in loaded.pictures] == ["x, y", "y, z", ""] and tree(folder) == before


def test_scope_is_told(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": b"x, y", "b": b"y, z"})
    found = edit_dataset(load(folder), Edits(add_end="n", only_with="x"))
    assert found.lines()[0] == "1 of 1 that only_with chooses of 2 captions (tags) changed"
    assert [p.body for p in found.dataset.pictures] == ["x, y, n", "y, z"]


def test_sort_by_frequency(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": b"x, y, z", "b": b"y, z", "c": b"z"})
    found = edit_dataset(load(folder), Edits(sort="frequency"))
    assert found.dataset.pictures[0].body == "z, y, x"


def test_edits_go_into_what_is_composed_and_saved(tmp_path: Path) -> None:
    """Also where the text was composed before: the raw caption is edited, and no prefix is doubled."""
    folder = make(tmp_path / "set", {"a": b"1girl, smile"})
    save(composed(load(folder), trigger="ohwx", prefix="best"), "replace", replace_yours=True)
    assert texts(folder) == {"a.txt": b"ohwx, best, 1girl, smile"}
    found = edit_dataset(load(folder, trigger="ohwx"), Edits(remove="smile"))
    assert found.difference() == "1 text changed:\na.png\n- ohwx, best, 1girl, smile\n+ ohwx, best, 1girl"
    save(composed(found.dataset, prefix="new"), "replace")
    assert texts(folder) == {"a.txt": b"ohwx, new, 1girl"}


# Counting


def test_frequencies(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": b"x, y, X", "b": b"y, =z", "c": b"y"})
    found = frequencies(load(folder), "tags")
    assert [(f.tag, f.count, round(f.share, 2), f.without) for f in found] == [
        ("y", 3, 1.0, ()),
        ("=z", 1, 0.33, ("a.png", "c.png")),
        ("x", 1, 0.33, ("b.png", "c.png")),
    ]
    rows = list(csv.reader(io.StringIO(as_csv(found))))
    assert rows[0] == ["tag", "count", "percent", "without", "images_without"]
    assert rows[1] == ["y", "3", "100.0", "0", ""] and rows[2] == ["=z", "1", "33.3", "2", "a.png, c.png"]
    assert as_table(found).splitlines()[1].split() == ["3", "100.0%", "0", "y"]
    assert as_table(found, shown=1).endswith("... and 2 more") and as_table([]) == "No tags."


def test_words_of_sentences_are_counted(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": b"A dog, which is brown, sits.", "b": b"The dog runs. A dog!"})
    counts = {f.tag: f.count for f in frequencies(load(folder), "prose")}
    assert counts == {"dog": 2, "brown": 1, "sits": 1, "runs": 1}


# Traits


SET = {
    "a": b"ohwx, 1girl, silver hair, red eyes, school uniform, smile, outdoors",
    "b": b"ohwx, 1girl, silver_hair, red eyes, school uniform, sitting, sketch",
    "c": b"ohwx, 1girl, silver hair, blue eyes, dress, smile, sketch",
    "d": b"ohwx, 1girl, silver hair, red eyes, school uniform, hair ornament",
}


def suggested(folder: Path, **choice: Any) -> list[str]:
    return bake_in(load(folder, trigger="ohwx"), TraitChoice(**choice)).suggestions().splitlines()


def test_traits_that_most_pictures_share_are_suggested(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", SET)
    assert suggested(folder) == ["red eyes", "school uniform", "silver hair"]
    assert suggested(folder, share=1.0) == []
    assert suggested(folder, share=0.25) == [
        "red eyes", "school uniform", "silver hair", "blue eyes", "dress", "silver_hair",
    ]  # fmt: skip
    assert suggested(folder, kind="clothing") == ["school uniform"]
    assert suggested(folder, kind="style") == ["sketch"]
    assert "1girl" in suggested(folder, kind="all") and "ohwx" not in suggested(folder, kind="all")
    assert suggested(folder, keep="red*, school uniform") == ["silver hair"]


def test_nothing_is_deleted_that_was_not_accepted(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", SET)
    loaded = load(folder, trigger="ohwx")
    baked = bake_in(loaded, TraitChoice())
    assert baked.edited.differences == () and "not deleted" in baked.lines()[0]
    assert [p.body for p in baked.edited.dataset.pictures] == [p.body for p in loaded.pictures]
    some = bake_in(loaded, TraitChoice(remove="silver hair, *eyes", keep="blue eyes")).edited.dataset.pictures
    assert some[1].body == "ohwx, 1girl, school uniform, sitting, sketch"
    assert some[2].body == "ohwx, 1girl, blue eyes, dress, smile, sketch"
    everything = bake_in(loaded, TraitChoice(accept="all suggested", keep="school uniform"))
    assert everything.edited.dataset.pictures[0].caption == "ohwx, 1girl, school uniform, smile, outdoors"
    with pytest.raises(DanluError, match="'accept'"):
        bake_in(loaded, TraitChoice(accept="maybe"))


def test_traits_in_sentences(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": b"A girl with silver hair sits.", "b": b"She has silver hair. A dog."})
    baked = bake_in(load(folder), TraitChoice(accept="all suggested"))
    assert baked.suggestions() == "silver hair"
    assert [p.body for p in baked.edited.dataset.pictures] == ["A girl with sits.", "She has. A dog."]


def test_chinese_traits(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": "女孩，银发，红眼，微笑".encode(), "b": "女孩，银发，坐着".encode()})
    assert suggested(folder) == ["银发", "红眼"]


def test_only_regular_expressions_are_on_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long list of plain tags, or a large set, takes longer than any expression should."""
    monkeypatch.setattr(Clock, "__init__", lambda self: setattr(self, "left", 0.0))
    for number, match in enumerate(("exact", "wildcard")):
        found = edited(tmp_path / str(number), TAGS, remove="smile, 1girl", match=match)
        assert found == "ohwx, Red Hair, blue_eyes"
        assert edited(tmp_path / f"p{number}", PROSE, remove="blue eyes", match=match, kind="prose").count("eyes") == 0
    with pytest.raises(DanluError, match="takes too long"):
        edited(tmp_path / "regex", TAGS, remove="smile", match="regex")


def test_each_tag_is_matched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    (pattern,) = patterns("red*", "wildcard", "remove")
    assert pattern.fits("red hair") and not pattern.fits("hair")
    monkeypatch.setattr(Pattern, "_run", lambda *_: pytest.fail("matched again"))
    assert pattern.fits("red hair") and not pattern.fits("hair")


@pytest.mark.parametrize(
    ("pattern", "text", "tag", "inside"),
    [
        ("a*b*c", "axbxbxc", True, True),
        ("a*b*c", "axbxbx", False, False),
        ("a*b c*d", "axb cxd", True, True),
        ("*red*", "dark red hair", True, True),
        ("a*b*c", "ab b c", True, False),
        ("a*", "a", True, True),
    ],
)
def test_words_with_stars(pattern: str, text: str, tag: bool, inside: bool) -> None:
    (found,) = patterns(pattern, "wildcard", "remove")
    assert (found.fits(text), found.is_in(text)) == (tag, inside)


def test_many_stars_do_not_hang() -> None:
    (found,) = patterns("*a" * 30 + "*b", "wildcard", "remove")
    start = time.process_time()
    assert not found.fits("a" * 3000)
    assert not found.is_in("a" * 300 + " " + "a" * 300)
    assert time.process_time() - start < 2
