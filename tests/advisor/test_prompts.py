"""Test prompts: the trigger where it belongs, and nowhere else."""

from __future__ import annotations

from itertools import product

import pytest

from danlu.advisor.prompts import KINDS, LANGUAGES, ROLES, prompts_for
from danlu.errors import DanluError

TRIGGERS = {"en": "dantong", "zh": "丹童"}


@pytest.mark.parametrize(("kind", "language"), [*product(KINDS, LANGUAGES)])
def test_two_prompts_of_each_role(kind: str, language: str) -> None:
    trigger = TRIGGERS[language]
    found = prompts_for(trigger, kind, language)
    assert [prompt.role for prompt in found] == [role for role in ROLES for _ in range(2)]
    assert len({prompt.text for prompt in found}) == len(found)
    for prompt in found:
        assert (trigger in prompt.text) == (prompt.role in ROLES[:3]), prompt
        assert not {"T", "\n"} & set(prompt.text) and prompt.text.strip(" ,，") == prompt.text
        assert prompt.text.isascii() == (language == "en")


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_differ(kind: str) -> None:
    own = {prompt.text for prompt in prompts_for("xyz", kind, "en")}
    assert all(own != {p.text for p in prompts_for("xyz", other, "en")} for other in KINDS if other != kind)


def test_the_class_word_stands_with_the_trigger_and_in_its_place() -> None:
    found = prompts_for("dantong", "person", "en", "old robot")
    assert found[0].text == "a photo of dantong old robot"
    assert found[6].text == "a photo of an old robot" and found[6].role == "no trigger"
    assert prompts_for("丹童", "anime", "zh", "男孩")[0].text == "丹童男孩，上半身，简单背景"


def test_no_trigger_is_an_error() -> None:
    with pytest.raises(DanluError, match="there is no trigger"):
        prompts_for(" , ", "person", "en")
    with pytest.raises(DanluError, match="kind is one of"):
        prompts_for("x", "robot", "en")
