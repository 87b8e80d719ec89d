"""Orders of tags."""

from __future__ import annotations

from itertools import permutations

import pytest

from danlu.dataset.variants import shuffled_tags

CAPTION = "dantong, red coat, rain, night, smile, bridge"


def tags(text: str) -> list[str]:
    return text.split(", ")


def test_orders_of_the_same_tags() -> None:
    found = shuffled_tags(CAPTION, "", 0, 8)
    assert found[0] == CAPTION
    assert len(set(found)) == len(found) == 8
    assert all(sorted(tags(text)) == sorted(tags(CAPTION)) for text in found)
    assert len({tags(text)[0] for text in found}) > 2


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_what_stays(keep: int) -> None:
    found = shuffled_tags(CAPTION, "dantong", keep, 12)
    assert {tuple(tags(text)[: max(1, keep)]) for text in found} == {tuple(tags(CAPTION)[: max(1, keep)])}
    assert len({tags(text)[max(1, keep)] for text in found}) > 1


def test_a_trigger_in_the_middle_is_a_tag_like_others() -> None:
    found = shuffled_tags("rain, dantong, night, smile", "dantong", 0, 12)
    assert len({tags(text).index("dantong") for text in found}) > 1


def test_no_more_orders_than_there_are() -> None:
    found = shuffled_tags("a, b, c", "", 0, 64)
    assert sorted(found) == sorted(", ".join(order) for order in permutations("abc"))
    assert shuffled_tags("a, b, c", "", 2, 64) == ("a, b, c",)
    assert shuffled_tags("one sentence without tags", "", 0, 8) == ("one sentence without tags",)
    assert shuffled_tags("", "", 0, 8) == ("",)
    assert shuffled_tags(CAPTION, "", 0, 1) == (CAPTION,)


def test_the_same_everywhere() -> None:
    assert shuffled_tags("a, b, c, d", "", 0, 3) == ("a, b, c, d", "a, d, b, c", "c, d, b, a")
