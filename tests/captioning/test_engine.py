"""Texts that get stuck are written again, flagged where that does not help; drawing follows the probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from danlu.captioning.engine import ATTEMPTS, Engine, Loaded, as_caption
from danlu.captioning.generate import Decoding, Generated, _Draw, _Never
from danlu.captioning.home import PlainHome

FINE, STUCK = "a red square", "the red the red the red the red"
DRAWN = Decoding(20, temperature=0.6)
BEAMS = Decoding(20, num_beams=3)


class Scripted(Engine):
    """Rows say what the script has for their first seed, attempt after attempt."""

    def __init__(self, *rows: Sequence[tuple[str, bool]]):
        model = SimpleNamespace(dtype=torch.float32, generation_config=None, config=SimpleNamespace())
        super().__init__(lambda: Loaded(model, None), PlainHome(), 1)
        self._loaded = Loaded(model, None)
        self.rows = rows
        self.calls: list[tuple[list[int], list[int], Decoding]] = []

    def on_device(self, inputs: Any, rows: int) -> Any:
        return inputs

    def _generate(self, inputs: Any, decoding: Decoding, seeds: Sequence[int]) -> list[Generated]:
        numbers = inputs["row"].tolist()
        attempt = len(self.calls)
        self.calls.append((numbers, list(seeds), decoding))
        return [Generated(tuple(map(ord, text)), cut) for text, cut in (self.rows[row][attempt] for row in numbers)]

    def texts(self, decoding: Decoding, prose: bool = True) -> list[tuple[str, str]]:
        inputs = {"row": torch.arange(len(self.rows))}
        decode = lambda tokens: "".join(map(chr, tokens))  # noqa: E731
        found = self.write(lambda processor: inputs, decoding, range(len(self.rows)), decode, prose)
        return [(one.text, one.flag) for one in found]


def test_only_what_got_stuck_is_written_again() -> None:
    engine = Scripted([(FINE, False)], [(STUCK, False), ("a blue one", False)], [(FINE, False)])
    assert engine.texts(DRAWN) == [(FINE, ""), ("a blue one", ""), (FINE, "")]
    (_, first, _), (rows, again, settings) = engine.calls
    assert rows == [1] and again[0] != first[1], "another seed"
    assert settings.repetition_penalty > DRAWN.repetition_penalty


def test_what_stays_stuck_is_flagged() -> None:
    engine = Scripted([(STUCK, False)] * ATTEMPTS)
    assert engine.texts(BEAMS) == [(STUCK, "repeats itself")]
    assert len(engine.calls) == ATTEMPTS
    assert engine.calls[1][2].no_repeat_ngram_size and not BEAMS.no_repeat_ngram_size
    penalties = [settings.repetition_penalty for _, _, settings in engine.calls]
    assert penalties == sorted(set(penalties)), "more each time"


def test_a_cut_text_is_better_than_a_stuck_one() -> None:
    engine = Scripted([(STUCK, True), ("a long story", True), (STUCK, False)])
    assert engine.texts(DRAWN) == [("a long story", "cut at 20 tokens")]


def test_cut_texts_are_drawn_again_but_beams_would_say_the_same() -> None:
    assert Scripted([("a long", True), (FINE, False)]).texts(DRAWN) == [(FINE, "")]
    engine = Scripted([("a long", True)])
    assert engine.texts(BEAMS) == [("a long", "cut at 20 tokens")] and len(engine.calls) == 1


def test_lists_of_places_may_repeat_themselves() -> None:
    assert Scripted([(STUCK, False)]).texts(BEAMS, prose=False) == [(STUCK, "")]


def test_flags_of_several_tasks_are_told_once() -> None:
    parts = [SimpleNamespace(flag=flag) for flag in ("repeats itself", "", "repeats itself", "cut at 9 tokens")]
    caption = as_caption(parts, "two\n lines")  # type: ignore[arg-type]
    assert (caption.text, caption.flag) == ("two lines", "repeats itself, cut at 9 tokens")


def test_draws_follow_the_probabilities() -> None:
    wanted = torch.tensor([0.5, 0.0, 0.3, 0.2])
    draw = _Draw(1, range(4000))
    left = draw(torch.empty(0), wanted.log().expand(4000, -1))
    drawn = left.argmax(-1)
    assert torch.isfinite(left).sum(-1).eq(1).all()
    shares = torch.bincount(drawn, minlength=4) / 4000
    assert shares[1] == 0 and torch.allclose(shares, wanted, atol=0.03)


@pytest.mark.parametrize("other", [(7,), (1, 7, 3)])
def test_a_rows_numbers_are_its_own(other: tuple[int, ...]) -> None:
    scores = torch.randn(1, 50, generator=torch.Generator().manual_seed(0))
    alone, among = _Draw(20, (7,)), _Draw(20, other)
    for _ in range(20):
        expected = alone(torch.empty(0), scores)
        assert torch.equal(among(torch.empty(0), scores.expand(len(other), -1))[other.index(7)], expected[0])


def test_tokens_that_are_never_said() -> None:
    scores = torch.zeros(2, 5)
    left = _Never((1, 4))(torch.empty(0), scores)
    assert torch.isinf(left[:, [1, 4]]).all() and torch.isfinite(left[:, [0, 2, 3]]).all()
    assert torch.equal(scores, torch.zeros(2, 5)), "what came in is left as it was"
