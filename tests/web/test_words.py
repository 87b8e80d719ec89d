"""The words of the pages: in both languages, every one that the code asks for, and none that nobody asks for."""

from __future__ import annotations

import json
import re
from pathlib import Path

WEB = Path(__file__).parents[2] / "web"
KEY = re.compile(r"""["'`]([a-z]+(?:\.[a-z0-9_]+)+)["'`]""")
BUILT = re.compile(r"`([a-z]+(?:\.[a-z0-9_]+)*\.)\$\{")
"""`train.${command}`: all keys that begin so are asked for."""


def table(language: str) -> dict[str, str]:
    return json.loads((WEB / "words" / f"{language}.json").read_text(encoding="utf-8"))


def code() -> str:
    files = [*WEB.glob("*.js"), *WEB.rglob("*.mjs")]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_both_languages_have_the_same_words() -> None:
    english, chinese = table("en"), table("zh")
    assert list(english) == sorted(english), "in alphabetic order, so that people find them"
    assert list(english) == list(chinese)
    for key, text in english.items():
        assert text.strip() and chinese[key].strip(), key
        names = re.findall(r"\{\w+\}", text)
        assert sorted(names) == sorted(re.findall(r"\{\w+\}", chinese[key])), f"{key}: other names to fill in"


def test_chinese_is_chinese() -> None:
    english = table("en")
    for key, text in table("zh").items():
        assert re.search(r"[\u4e00-\u9fff]", text) or text == english[key], key


def test_the_code_and_the_table_agree() -> None:
    words, source = table("en"), code()
    files = (".js", ".mjs", ".css")
    views = {key.split(".")[0] for key in words}
    asked = {key for key in KEY.findall(source) if key.split(".")[0] in views and not key.endswith(files)}
    built = tuple(BUILT.findall(source))
    assert asked - set(words) == set(), "asked for and nowhere"
    unused = {key for key in words if key not in asked and not (built and key.startswith(built))}
    assert unused == set(), "nobody asks for them"
