"""Text on pictures."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import ImageFont

from danlu import lettering


def test_lines_are_as_wide_as_they_may_be() -> None:
    text = "a long caption of a picture with many words in it " * 4
    lines = lettering.wrapped(text, 200, 14).split("\n")
    assert len(lines) > 5 and " ".join(lines) == text.strip()
    assert all(lettering.text_size(line, 14)[0] <= 201 for line in lines)


def test_what_is_too_much_ends_in_an_ellipsis() -> None:
    cut = lettering.wrapped("word " * 100, 200, 14, lines=3)
    assert cut.count("\n") == 2 and cut.endswith("...") and lettering.text_size(cut, 14)[0] <= 201
    assert lettering.wrapped("few words", 200, 14, lines=3) == "few words"


def test_chinese_gets_a_font_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    known, real = ImageFont.load_default(11), ImageFont.truetype

    def truetype(name: Any, size: float = 10, *others: Any, **more: Any) -> Any:
        asked.append(name)
        if name == "simhei.ttf":
            return known
        if isinstance(name, str):
            raise OSError
        return real(name, size, *others, **more)

    lettering._asian.cache_clear()
    monkeypatch.setattr(ImageFont, "truetype", truetype)
    try:
        assert lettering.font("一只猫", 11) is known and asked[-1] == "simhei.ttf" and "msyh.ttc" in asked
        asked.clear()
        assert lettering.font("a cat, un été", 11) is not known and "simhei.ttf" not in asked
    finally:
        lettering._asian.cache_clear()
