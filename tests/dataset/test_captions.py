"""Caption texts: decoding, the trigger, what is far too long."""

from __future__ import annotations

from pathlib import Path

import pytest

from danlu.dataset.captions import (
    UnreadableCaption,
    clean_trigger,
    cut,
    decode,
    from_file_name,
    read_caption,
    with_trigger,
    without_trigger,
)


@pytest.mark.parametrize(
    ("caption", "trigger", "result"),
    [
        ("a photo of [trigger] running", "dantong", "a photo of dantong running"),
        ("[Trigger], [TRIGGER] again", "dantong", "dantong, dantong again"),
        ("a girl running", "dantong", "dantong, a girl running"),
        ("dantong running", "dantong", "dantong running"),
        ("a Dantong, running", "dantong", "a Dantong, running"),
        ("", "dantong", "dantong"),
        ("a category", "cat", "cat, a category"),
        ("丹童在跑", "丹童", "丹童在跑"),
        ("一个女孩", "丹童", "丹童, 一个女孩"),
        ("a girl", "", "a girl"),
        ("[trigger], a girl, [trigger] ", "", "a girl"),
        ("sks dog on grass", "sks dog", "sks dog on grass"),
        ("back\\1slash [trigger]", r"\1", r"back\1slash \1"),
        ("(x:1.2) thing", "x (y)", "x (y), (x:1.2) thing"),
    ],
)
def test_trigger(caption: str, trigger: str, result: str) -> None:
    assert with_trigger(caption, trigger) == result


def test_the_trigger_is_never_doubled() -> None:
    once = with_trigger("a girl", "dantong")
    assert with_trigger(once, "dantong") == once


def test_clean_trigger() -> None:
    assert clean_trigger("  dantong, ") == "dantong"
    assert clean_trigger("sks\n dog") == "sks dog"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("红色的狐狸".encode(), "红色的狐狸"),
        ("红色的狐狸".encode("utf-8-sig"), "红色的狐狸"),
        ("红色的狐狸".encode("utf-16"), "红色的狐狸"),
        ("红色的狐狸".encode("gb18030"), "红色的狐狸"),
        ("a café".encode("cp1252"), "a café"),
        (b"", ""),
    ],
)
def test_encodings(raw: bytes, text: str) -> None:
    assert decode(raw) == text


def test_what_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(UnreadableCaption, match="not a text file"):
        decode(b"ab\0c")
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * (2 << 20))
    with pytest.raises(UnreadableCaption, match="KB"):
        read_caption(path)


def test_lines_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a girl,\r\n  red   hair\n\n", encoding="utf-8")
    assert read_caption(path) == "a girl, red hair"


@pytest.mark.parametrize(
    ("stem", "caption"),
    [
        ("a_red_fox", "a red fox"),
        ("a red fox (3)", "a red fox"),
        ("a_red_fox_003", "a red fox"),
        ("fox-12", "fox"),
        ("1girl", "1girl"),
        ("007", "007"),
    ],
)
def test_from_file_name(stem: str, caption: str) -> None:
    assert from_file_name(stem) == caption


def test_cut() -> None:
    assert cut("a short one") == ("a short one", None)
    text, how = cut("word " * 4999 + "word")
    assert len(text.split()) == 400
    assert how == "5000 words, the first 400 are used"
    text, how = cut("字" * 5000)
    assert len(text) == 3000
    assert how == "5000 characters, the first 3000 are used"


@pytest.mark.parametrize(
    ("caption", "trigger", "class_word", "result"),
    [
        ("a small dantong on grass", "dantong", "doll", "a small doll on grass"),
        ("Dantong, red", "dantong", "doll", "doll, red"),
        ("dantong, red", "dantong", "", "red"),
        ("a category of cat", "cat", "pet", "a category of pet"),
        ("丹童在跑", "丹童", "男孩", "男孩在跑"),
        ("dantong", "dantong", "", ""),
        ("a red star", "", "doll", "a red star"),
        ("a [x] runs", "[x]", r"\1", r"a \1 runs"),
    ],
)
def test_class_caption(caption: str, trigger: str, class_word: str, result: str) -> None:
    assert without_trigger(caption, trigger, class_word) == result
