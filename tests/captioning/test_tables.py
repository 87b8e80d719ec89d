"""Captions in metadata.csv and metadata.jsonl: merged, and nothing else of them touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from danlu.captioning.journal import Journal
from danlu.captioning.tables import Table
from danlu.captioning.text_files import Untouchable
from danlu.errors import DanluError

from .caption_sets import captioned, composed, load, make, save, texts, tree, undo

CSV = (
    b"\xef\xbb\xbffile_name,score,text\r\n"
    b'"b.png",3,"hers, with ""quotes"""\r\n'
    b"gone.png,1,of another\r\n"
    b"c.png,7,\r\n"
    b"\r\n"
    b'"long\r\nname.png",2,"two\r\nlines"\r\n'
)
JSONL = (
    b'{"file_name": "b.png", "text": "hers", "score": [1, {"x": null}]}\n'
    b"this is no json\n"
    b'{"other": 1}\n'
    b'  {"text":"","file_name":"./c.png"}\n'
    b'{"file_name": "gone.png", "text": "of another"}'
)


def table(folder: Path, name: str, raw: bytes) -> Path:
    make(folder, {"a": None, "b": None, "c": None})
    (folder / name).write_bytes(raw)
    return folder


def test_a_new_table(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None, "10_x/b": None})
    save(captioned(load(folder), 'say "{}", 猫'), format="metadata.csv")
    expected = 'file_name,text\n10_x/b.png,"say ""b"", 猫"\na.png,"say ""a"", 猫"\n'
    assert (folder / "metadata.csv").read_text(encoding="utf-8") == expected
    save(captioned(load(folder), "x {}"), format="metadata.jsonl")
    lines = (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"file_name": "10_x/b.png", "text": "x b"},
        {"file_name": "a.png", "text": "x a"},
    ]
    for run in reversed(dict.fromkeys(entry.run for entry in Journal(folder).entries())):
        undo(folder, run)
    assert texts(folder) == {}


@pytest.mark.parametrize(
    ("policy", "yours", "changed"),
    [
        ("skip", False, [b"a.png,,a a thing\r\n"]),
        ("fill_empty", False, [b"c.png,7,a c thing\r\n", b"a.png,,a a thing\r\n"]),
        (
            "append",
            False,
            [b'"b.png","3","hers, with ""quotes"", a b thing"\r\n', b"c.png,7,a c thing\r\n", b"a.png,,a a thing\r\n"],
        ),
        ("replace", False, [b"c.png,7,a c thing\r\n", b"a.png,,a a thing\r\n"]),
        ("replace", True, [b'"b.png","3","a b thing"\r\n', b"c.png,7,a c thing\r\n", b"a.png,,a a thing\r\n"]),
    ],
)
def test_a_csv_keeps_its_other_rows_and_columns(tmp_path: Path, policy: str, yours: bool, changed: list[bytes]) -> None:
    folder = table(tmp_path / "set", "metadata.csv", CSV)
    dataset = captioned(load(folder))
    save(dataset, policy, replace_yours=yours, format="metadata.csv")
    found = (folder / "metadata.csv").read_bytes()
    old, new = CSV.splitlines(keepends=True), found.splitlines(keepends=True)
    assert [line for line in new if line not in old] == changed
    assert [line for line in old if line not in new] == [line for line in old if line.startswith(_names(changed))]
    assert len(new) == len(old) + 1 and new[0] == old[0]
    again = save(captioned(load(folder)), policy, replace_yours=yours, format="metadata.csv")
    assert "Nothing to write" in again.text()
    undo(folder)
    assert (folder / "metadata.csv").read_bytes() == CSV


def _names(changed: list[bytes]) -> tuple[bytes, ...]:
    return tuple(line.split(b",")[0] + b"," for line in changed)


def test_jsonl_keeps_other_lines_as_they_are(tmp_path: Path) -> None:
    folder = table(tmp_path / "set", "metadata.jsonl", JSONL)
    save(captioned(load(folder)), "append", format="metadata.jsonl")
    lines = (folder / "metadata.jsonl").read_bytes().splitlines()
    old = JSONL.splitlines()
    assert json.loads(lines[0]) == {"file_name": "b.png", "text": "hers, a b thing", "score": [1, {"x": None}]}
    assert lines[1:3] == old[1:3] and lines[4] == old[4]
    assert json.loads(lines[3]) == {"text": "a c thing", "file_name": "./c.png"}
    assert json.loads(lines[5]) == {"file_name": "a.png", "text": "a a thing"} and len(lines) == 6
    undo(folder)
    assert (folder / "metadata.jsonl").read_bytes() == JSONL


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("metadata.csv", b"image;caption\nb.png;x\n", b"image;caption\nb.png;x\na.png;a a thing\nc.png;a c thing\n"),
        ("metadata.csv", b"file_name\nb.png\n", b"file_name,text\nb.png,a b thing\na.png,a a thing\nc.png,a c thing\n"),
        ("metadata.csv", b"file_name,text", b"file_name,text\na.png,a a thing\nb.png,a b thing\nc.png,a c thing\n"),
        ("metadata.csv", b"", b"file_name,text\na.png,a a thing\nb.png,a b thing\nc.png,a c thing\n"),
        ("metadata.jsonl", b'{"image":"b.png","prompt":"x"}', None),
    ],
)
def test_the_columns_of_other_tools(tmp_path: Path, name: str, raw: bytes, expected: bytes | None) -> None:
    folder = table(tmp_path / "set", name, raw)
    save(captioned(load(folder)), "fill_empty", format=name)
    found = (folder / name).read_bytes()
    if expected is not None:
        assert found == expected
    else:
        assert json.loads(found.splitlines()[1]) == {"image": "a.png", "prompt": "a a thing"}
    undo(folder)
    assert (folder / name).read_bytes() == raw


@pytest.mark.parametrize(
    "raw", [b"a.png,words\n", b"just,some,words\n1,2,3\n", b"\x00\x01\x02", b"file_name,text\nb.png," + b"x" * 200_000]
)
def test_a_table_that_cannot_be_used_is_refused_before_anything_is_written(tmp_path: Path, raw: bytes) -> None:
    folder = table(tmp_path / "set", "metadata.csv", raw)
    before = tree(folder)
    with pytest.raises(DanluError, match=r"metadata.csv cannot be used: .*choose another format"):
        save(captioned(load(folder)), format="metadata.csv")
    assert tree(folder) == before and not (folder / ".captions").exists()


def test_encodings(tmp_path: Path) -> None:
    folder = table(tmp_path / "set", "metadata.csv", "file_name,text\nb.png,红发\n".encode("gb18030"))
    save(captioned(load(folder), "绿 {}"), format="metadata.csv")
    text = (folder / "metadata.csv").read_bytes().decode("gb18030")
    assert text == "file_name,text\nb.png,红发\na.png,绿 a\nc.png,绿 c\n"


def test_rows_that_lead_elsewhere_open_nothing(tmp_path: Path) -> None:
    raw = b"file_name,text\n../../secret.txt,x\n/etc/passwd,y\nb.png,z\n"
    folder = table(tmp_path / "set", "metadata.csv", raw)
    save(captioned(load(folder)), "replace", replace_yours=True, format="metadata.csv")
    found = (folder / "metadata.csv").read_bytes()
    assert found.startswith(b"file_name,text\n../../secret.txt,x\n/etc/passwd,y\nb.png,a b thing\n")
    assert set(tree(tmp_path)) == {"set/a.png", "set/b.png", "set/c.png", "set/metadata.csv"}


def test_a_row_that_was_edited_by_hand(tmp_path: Path) -> None:
    folder = table(tmp_path / "set", "metadata.csv", b"file_name,text\n")
    save(composed(captioned(load(folder)), prefix="p", kind="tags"), format="metadata.csv")
    path = folder / "metadata.csv"
    path.write_bytes(path.read_bytes().replace(b'"p, a b thing"', b"my own"))
    anew = composed(load(folder), prefix="q", kind="tags")
    assert [p.caption for p in anew.pictures] == ["q, a a thing", "my own", "q, a c thing"]
    saved = save(anew, "replace", format="metadata.csv")
    assert "1 text left alone: edited by hand" in saved.text()
    assert path.read_bytes() == b'file_name,text\na.png,"q, a a thing"\nb.png,my own\nc.png,"q, a c thing"\n'


def test_an_undone_table_has_its_old_owners(tmp_path: Path) -> None:
    folder = table(tmp_path / "set", "metadata.csv", b"file_name,text\nb.png,mine\n")
    save(captioned(load(folder)), "replace", replace_yours=True, format="metadata.csv")
    undo(folder)
    plan = save(captioned(load(folder)), format="metadata.csv", dry_run=True).plans[0]
    assert [item.state for item in plan.items] == ["missing", "yours", "missing"]


def test_of_two_rows_the_first_counts() -> None:
    found = Table.parsed("metadata.csv", b"file_name,text\na.png,one\nA.PNG,two\n")
    found.set("a.png", "new")
    assert found.text_of("./a.png") == "new" and found.encoded() == b"file_name,text\na.png,new\nA.PNG,two\n"
    with pytest.raises(Untouchable):
        Table.parsed("metadata.csv", b"x,y\n")


@pytest.mark.parametrize(
    ("name", "raw", "read"),
    [
        ("metadata.csv", b"file_name,caption,tags\nb.png,a cat,sitting\n", "a cat, sitting"),
        ("metadata.csv", b"file_name,text\nb.png,a cat, sitting\n", "a cat, sitting"),
        ("metadata.csv", b"file_name,text\nb,mine\n", "mine"),
        ("metadata.csv", b"file_name,text\nC:\\old\\b.png,mine\n", "mine"),
        ("metadata.jsonl", b'{"file_name": "b.png", "text": ["a cat", "sitting"]}\n', "a cat sitting"),
    ],
)
@pytest.mark.parametrize("policy", ["append", "replace"])
def test_rows_that_are_read_in_other_ways_are_refused(
    tmp_path: Path, name: str, raw: bytes, read: str, policy: str
) -> None:
    folder = table(tmp_path / "set", name, raw)
    assert load(folder).pictures[1].body == read
    before = tree(folder)
    with pytest.raises(DanluError, match=r"cannot be used: the rows of b\.png"):
        save(captioned(load(folder)), policy, replace_yours=True, format=name)
    assert tree(folder) == before and not (folder / ".captions").exists()


def test_a_row_by_its_stem_does_not_get_a_second_one(tmp_path: Path) -> None:
    folder = table(tmp_path / "set", "metadata.csv", b"file_name,text\nb,mine\n")
    with pytest.raises(DanluError, match=r"the rows of b\.png"):
        save(captioned(load(folder)), "skip", format="metadata.csv")


def test_other_rows_do_not_matter_where_nothing_is_written_to_them(tmp_path: Path) -> None:
    raw = b"file_name,caption,tags\nb.png,a cat,sitting\n"
    folder = table(tmp_path / "set", "metadata.csv", raw)
    save(captioned(load(folder)), "skip", format="metadata.csv")
    assert (folder / "metadata.csv").read_bytes() == raw + b"a.png,a a thing,\nc.png,a c thing,\n"


def test_two_pictures_of_one_row_are_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None, "A": None, "c": None})
    with pytest.raises(DanluError, match=r"share one row: (A\.png and a\.png|a\.png and A\.png)"):
        save(captioned(load(folder)), format="metadata.csv")
    assert texts(folder) == {}
