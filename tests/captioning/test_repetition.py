"""What counts as a text that got stuck."""

from __future__ import annotations

import pytest

from danlu.captioning.repetition import repeats_itself

STUCK = (
    "a cat sits on a mat, a cat sits on a mat, a cat sits on a mat",
    "the red the red the red the red",
    "no no no no no no no",
    "A photo of a dog. The dog is brown. It is day. The dog is brown. It rains. The dog is brown.",
    "1girl, red hair, solo, red hair, smile, red hair, dress, red hair, red hair",
    "一只猫坐在一只猫坐在一只猫坐在",
)
FINE = (
    "",
    "a very, very, very large dog",
    "The image shows a woman in a red dress who stands in front of a red wall with a red door.",
    "1girl, solo, red hair, red dress, red shoes, red background, looking at viewer",
    "A man on the left, a man in the middle and a man on the right.",
    "一只白色的猫和一只黑色的猫坐在一张木桌上",
)


@pytest.mark.parametrize("text", STUCK)
def test_stuck(text: str) -> None:
    assert repeats_itself(text)
    assert repeats_itself(f"Some words before. {text}. And some after it.")


@pytest.mark.parametrize("text", FINE)
def test_fine(text: str) -> None:
    assert not repeats_itself(text)
