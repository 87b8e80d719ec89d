"""Captions in tables beside the pictures."""

from __future__ import annotations

import csv
import json
import os
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from danlu.dataset.model import Dataset, FolderRequest
from danlu.dataset.scan import fingerprint, load_folder
from danlu.errors import DanluError

from .pictures import caption, save


def load(folder: Path, **others: object) -> Dataset:
    return load_folder(replace(FolderRequest(str(folder)), **others))  # type: ignore[arg-type]


def bodies(folder: Path, **others: object) -> dict[str, str]:
    return {picture.name: picture.body for picture in load(folder, **others).pictures}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        save(tmp_path / name)
    return tmp_path


EXPECTED = {"a.png": "a red fox", "b.png": "rain, night"}
TABLES = {
    "hugging face": ("metadata.csv", 'file_name,text\na.png,a red fox\nb.png,"rain, night"\n'),
    "tutorials": ("metadata.csv", 'image,caption\na.png,a red fox\nb.png,"rain, night"\n'),
    "other columns": (
        "metadata.csv",
        'id,Prompt,FileName,split\n1,a red fox,a.png,train\n2,"rain, night",b.png,train\n',
    ),
    "excel in europe": ("metadata.csv", "sep=;\r\nfile;description\r\na.png;a red fox\r\nb.png;rain, night\r\n"),
    "tabs": ("metadata.tsv", "file_name\tcaption\na.png\ta red fox\nb.png\train, night\n"),
    "tabs called csv": ("metadata.csv", "filename\tcaption\na.png\ta red fox\nb.png\train, night\n"),
    "no heading": ("metadata.csv", 'a.png,a red fox\nb.png,"rain, night"\n'),
    "forgotten quotes": ("metadata.csv", "file_name,caption\na.png,a red fox\nb.png,rain, night\n"),
    "quoted line ends": ("metadata.csv", 'file_name,text\na.png,"a red\nfox"\nb.png,"rain,\r\nnight"\n'),
    "only tags": ("metadata.csv", 'file_name,tags\na.png,a red fox\nb.png,"rain, night"\n'),
    "jsonl": (
        "metadata.jsonl",
        '{"file_name": "a.png", "text": "a red fox"}\n\n{"file_name": "b.png", "text": "rain, night"}\n',
    ),
    "musubi": (
        "metadata.jsonl",
        '{"image_path": "/home/me/set/a.png", "caption": "a red fox"}\n'
        '{"image_path": "C:\\\\set\\\\b.png", "caption": "rain, night"}\n',
    ),
    "json that is jsonl": (
        "captions.json",
        '{"file": "a.png", "prompt": "a red fox"}\n{"file": "b.png", "prompt": "rain, night"}',
    ),
    "list": ("metadata.json", '[{"image": "a.png", "text": "a red fox"}, {"image": "b.png", "text": "rain, night"}]'),
    "sd-scripts": (
        "meta_cap.json",
        '{"/train/a": {"caption": "a red fox"}, "/train/b.png": {"caption": "rain", "tags": "night"}}',
    ),
    "sd-scripts, names": ("meta_lat.json", '{"a": {"tags": "a red fox"}, "b": {"tags": ["rain", "night"]}}'),
    "ai-toolkit, folder": (
        "captions.json",
        '{"/root/set/a.png": {"caption": "a red fox", "caption_short": "fox"}, "b.png": {"caption": "rain, night"}}',
    ),
    "plain": ("captions.json", '{"a.png": "a red fox", "b.png": "rain, night"}'),
    "another ending": ("metadata.csv", 'file_name,text\na.jpg,a red fox\nb.webp,"rain, night"\n'),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("captions", ["auto", "metadata"])
def test_tables(folder: Path, kind: str, captions: str) -> None:
    name, text = TABLES[kind]
    (folder / name).write_bytes(text.encode())
    found = load(folder, captions=captions, trigger="ohwx")
    assert {picture.name: picture.body for picture in found.pictures} == EXPECTED
    assert [picture.caption for picture in found.pictures] == ["ohwx, a red fox", "ohwx, rain, night"]
    assert {picture.text_file for picture in found.pictures} == {folder / name}
    assert found.report.text() == "2 images, 2 captions, repeats 1, trigger ohwx"


@pytest.mark.parametrize("captions", ["txt", "filename", "none"])
def test_other_sources_do_not_look_at_tables(folder: Path, captions: str) -> None:
    (folder / "metadata.csv").write_text(TABLES["hugging face"][1])
    assert not set(bodies(folder, captions=captions).values()) & set(EXPECTED.values())


def test_ai_toolkits_file_of_a_picture(folder: Path) -> None:
    (folder / "a.json").write_text('{"caption": "a red\\nfox", "caption_short": "fox"}')
    (folder / "b.png.json").write_text('"rain, night"')
    save(folder / "c.png")
    (folder / "c.json").write_text('{"model": "sd15", "steps": 20}')
    (folder / "metadata.csv").write_text("file_name,text\na.png,of the table\n")
    found = load(folder)
    assert {picture.name: picture.body for picture in found.pictures} == {**EXPECTED, "c.png": ""}
    assert found.pictures[0].text_file == folder / "a.json"
    assert "No caption in 1 file: c.json (has no caption (one of caption" in found.report.text()


def test_caption_files_go_first(folder: Path) -> None:
    (folder / "metadata.csv").write_text(TABLES["hugging face"][1])
    caption(folder / "a.png", "by hand")
    caption(folder / "b.png", "  ")
    found = load(folder)
    assert [(picture.body, picture.text_file) for picture in found.pictures] == [
        ("by hand", folder / "a.txt"),
        ("rain, night", folder / "metadata.csv"),
    ]
    assert "1 image with a caption file and another text in metadata, the file counts: a.png" in found.report.text()
    assert bodies(folder, captions="metadata") == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_encodings(folder: Path, encoding: str) -> None:
    (folder / "metadata.csv").write_bytes("file_name,text\na.png,红色的狐狸\nb.png,雨夜\n".encode(encoding))
    assert bodies(folder) == {"a.png": "红色的狐狸", "b.png": "雨夜"}


def test_each_folder_has_its_own(tmp_path: Path) -> None:
    for name in ("1.png", "train/1.png", "10_cat/1.png"):
        save(tmp_path / name)
    (tmp_path / "metadata.jsonl").write_text(
        "\n".join(json.dumps({"file_name": n, "text": f"top {n}"}) for n in ("1.png", "./train//1.png"))
    )
    (tmp_path / "10_cat" / "metadata.csv").write_text("file_name,text\n1.png,of the cat\n../1.png,up there\n")
    assert bodies(tmp_path, recursive=True) == {
        "1.png": "top 1.png",
        "train/1.png": "top ./train//1.png",
        "10_cat/1.png": "of the cat",
    }


def test_folders_below_are_named_in_the_remedy(folder: Path) -> None:
    save(folder / "images" / "c.png")
    (folder / "metadata.csv").write_text("file_name,text\nimages/c.png,deep\n")
    assert "1 row without a picture: line 2 (images/c.png) Pictures in folders below are read with 'recursive' on" in (
        load(folder).report.text()
    )
    assert bodies(folder, recursive=True)["images/c.png"] == "deep"


def test_wrong_rows_are_told_with_their_lines(folder: Path) -> None:
    (folder / "metadata.csv").write_text(
        'file_name,text\n\na.png,"first\nrow"\ngone.png,x\na.png,again\n,no file\n../b.png,up\n/etc/passwd,root\n'
        "a.png/../../../b.png,up too\nb.png\n"
    )
    report = load(folder).report.text()
    assert bodies(folder) == {"a.png": "first row", "b.png": ""}
    assert (
        "metadata.csv, not used: line 7 names no file (one of file_name, filename, file, image), "
        "line 8 (../b.png) leads out of the folder, line 10 (a.png/../../../b.png) leads out of the folder, "
        "line 11 has no caption (one of caption, text, prompt, description, tags)"
    ) in report
    assert "metadata.csv, 2 rows without a picture: line 5 (gone.png), line 9 (/etc/passwd)" in report
    assert "a second row for the same picture, the first counts: line 6 (a.png)" in report


def test_wrong_lines_of_jsonl(folder: Path) -> None:
    lines = [
        '{"file_name": "a.png", "text": "good"}',
        '{"file_name": "b.png", "text": ',
        "[]",
        '{"file_name": "b.png", "text": 7}',
        '{"file_name": "b.png", "text": NaN}',
        '{"file_name": ["b.png"], "text": "x"}',
        '{"text": "x"}',
        '{"file_name": "b.png", "text": {"de": "x"}}',
        "[" * 100_000,
        '{"file_name": "b.png", "text": ' + "9" * 10_000 + "}",
    ]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    report = load(folder).report.text()
    assert bodies(folder)["a.png"] == "good"
    (told,) = (line for line in report.splitlines() if "not used" in line)
    for number in range(2, 10):
        assert f"line {number} " in told, told
    assert "nested too deeply" in told and "and 1 more" in told


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("metadata.csv", b"", "the file is empty"),
        ("metadata.csv", b"a,b,c\n1,2,3\n", "names no columns: one for the file (file_name"),
        ("metadata.csv", b'file_name,text\na.png,"never closed\nb.png,x\n' + b"x" * (2 << 20), "is a quote left open?"),
        ("metadata.csv", b"PK\x03\x04\0\0binary", "not a text file"),
        ("metadata.csv", b'file_name,text,n\na.png,"b", c, 1\n', "line 2 has 4 cells, but there are 3 columns"),
        ("metadata.json", b'{"a.png": {"caption": "x"}', "line 1, column"),
        ("metadata.json", b"[" * 200_000, "nested too deeply"),
        ("metadata.json", b"7", "neither a list of rows"),
        ("metadata.json", b'{"a.png": 7, "b.png": null}', "entry 1 (a.png) is no object"),
        ("metadata.jsonl", b'{"file_name": "a.png"}', "line 1 has no caption"),
    ],
)
def test_broken_tables_are_told(folder: Path, name: str, content: bytes, told: str) -> None:
    (folder / name).write_bytes(content)
    found = load(folder)
    assert len(found.pictures) == 2
    assert told in found.report.text(), found.report.text()


def test_too_large_a_table_is_not_read(folder: Path) -> None:
    with (folder / "metadata.json").open("wb") as file:
        file.truncate(65 << 20)
    assert "65 MB; more than 64 MB are not read" in load(folder).report.text()


def test_names_that_a_mac_wrote(tmp_path: Path) -> None:
    save(tmp_path / unicodedata.normalize("NFD", "café.png"))
    (tmp_path / "metadata.csv").write_text(f"file_name,text\n{unicodedata.normalize('NFC', 'CAFÉ.png')},found\n")
    assert list(bodies(tmp_path).values()) == ["found"]


def test_metadata_where_there_is_none(folder: Path) -> None:
    with pytest.raises(DanluError, match="'captions' is metadata, but there is no metadata.csv"):
        load(folder, captions="metadata")
    (folder / "my table.csv").write_text(TABLES["hugging face"][1])
    assert bodies(folder, captions="metadata") == EXPECTED, "any name, when it is asked for"
    assert set(bodies(folder).values()) == {""}


def test_fingerprint_changes_with_a_table(folder: Path) -> None:
    request = FolderRequest(str(folder))
    seen = {fingerprint(request)}
    for name in ("metadata.csv", "metadata.jsonl", "metadata.json", "a.json"):
        (folder / name).write_text("{}")
        seen.add(fingerprint(request))
        os.utime(folder / name, ns=(1, 1))
        seen.add(fingerprint(request))
    assert len(seen) == 9


def test_the_limit_of_the_csv_module_is_as_before(folder: Path) -> None:
    before = csv.field_size_limit()
    (folder / "metadata.csv").write_text(f"file_name,text\na.png,{'word ' * 50_000}\n")
    assert len(load(folder).pictures[0].body) > 200_000
    assert csv.field_size_limit() == before
