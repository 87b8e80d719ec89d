"""Verdicts on curves of known shape."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from danlu.advisor.measures import Evidence, Measure
from danlu.advisor.report import as_json, report
from danlu.advisor.verdicts import GOOD, HELD_OUT, LOG, NOT_JUDGED, NOT_LEARNED, OVER, TRAINED, judge, over_trained_for

from .curves import evidence

LEARNS = [0.98, 0.94, 0.86, 0.80, 0.81, 0.825, 0.88, 0.93, 0.99, 1.05]
FALLS = [0.97, 0.92, 0.85, 0.75, 0.65, 0.55, 0.45, 0.35, 0.3, 0.25]


def states(found: Evidence, **options: float) -> list[str]:
    return [verdict.state for verdict in judge(found, **options).verdicts]


def test_learned_then_too_long() -> None:
    found = judge(evidence(LEARNS, FALLS))
    assert [v.state for v in found.verdicts] == [NOT_LEARNED] * 3 + [GOOD] * 3 + [OVER] * 4
    assert found.basis == HELD_OUT and found.recommended == 500, "the last that is as good as the best"
    assert found.ranking[:3] == (500, 400, 600)
    assert "20.0% below" in found.verdicts[-1].reason and "on trained ones 75.0% below" in found.verdicts[-1].reason


def test_one_odd_checkpoint_is_no_turn() -> None:
    odd = [*LEARNS]
    odd[1] = 1.3
    odd[7] = 0.8
    found, plain = states(evidence(odd, FALLS)), states(evidence(LEARNS, FALLS))
    assert [found[1], found[7]] == [NOT_LEARNED, OVER]
    assert sum(a != b for a, b in zip(found, plain, strict=True)) <= 1


def test_an_odd_checkpoint_is_not_recommended() -> None:
    flat, odd = ([0.98, 0.9, 0.8, 0.8, value, 0.8, 0.9, 1.0, 1.05] for value in (0.8, 0.9))
    assert judge(evidence(flat, FALLS[:9])).recommended == 600
    found = judge(evidence(odd, FALLS[:9]))
    assert found.recommended == 400
    assert (verdict := found.of(500)) and verdict.state == GOOD


def test_losses_at_other_levels_than_the_bases_are_not_compared() -> None:
    found = evidence(LEARNS, FALLS)
    other = [replace(m, levels=(0.1, 0.2, 0.9, 0.95)) if m.step > 500 else m for m in found.measures]
    assert {v.step for v in judge(replace(found, measures=tuple(other))).verdicts} == {100, 200, 300, 400, 500}


def test_still_getting_better() -> None:
    falling = [0.99, 0.97, 0.94, 0.9, 0.87, 0.86]
    found = judge(evidence(falling, falling))
    assert found.recommended == 600 and OVER not in {v.state for v in found.verdicts}
    assert found.verdicts[0].state == NOT_LEARNED


def test_what_never_learns_gets_no_good() -> None:
    rng = np.random.RandomState(0)
    still = [1.0 + 1e-3 * rng.standard_normal() for _ in range(8)]
    found = judge(evidence(still, still))
    assert {v.state for v in found.verdicts} == {NOT_LEARNED} and found.recommended is None
    assert "No checkpoint is good" in report(evidence(still, still), found)


def test_learning_pictures_by_heart_gets_no_good() -> None:
    rising = [1.0, 1.01, 1.02, 1.05, 1.1, 1.2]
    found = judge(evidence(rising, FALLS[:6]))
    assert GOOD not in {v.state for v in found.verdicts} and found.verdicts[-1].state == OVER
    assert found.recommended is None


def test_the_tolerance_moves_the_turn() -> None:
    strict, lax = (states(evidence(LEARNS, FALLS), tolerance=t).count(OVER) for t in (0.02, 0.6))
    assert strict > states(evidence(LEARNS, FALLS)).count(OVER) > lax > 0


@pytest.mark.parametrize("scale", [1e-3, 50.0])
def test_levels_count_alike_whatever_the_size_of_losses(scale: float) -> None:
    found = evidence(LEARNS, FALLS)
    loud = [replace(m, held_out=(m.held_out[0] * scale, *m.held_out[1:])) for m in found.measures]
    assert states(replace(found, measures=tuple(loud))) == states(found)


def test_low_noise_levels_decide_nothing_where_there_are_higher_ones() -> None:
    found = evidence(LEARNS, FALLS)
    at = [replace(m, levels=(0.2, 0.4, 0.7, 0.9)) for m in found.measures]
    lost = [replace(m, held_out=(9.0 * m.step + 1.0, 7.0 * m.step + 1.0, *m.held_out[2:])) for m in at]
    assert states(replace(found, measures=tuple(lost))) == states(found)
    low = [replace(m, levels=(0.1, 0.2, 0.3, 0.4)) for m in lost]
    assert GOOD not in states(replace(found, measures=tuple(low)))


def test_without_held_out_pictures_only_deafness_is_over_trained() -> None:
    listens = judge(evidence([], FALLS, response=[1.0] * 10))
    assert listens.basis == TRAINED and {v.state for v in listens.verdicts} == {NOT_LEARNED, GOOD}
    deaf = judge(evidence([], FALLS, response=[1.0, 1.0, 0.9, 0.9, 0.8, 0.8, 0.6, 0.4, 0.3, 0.2]))
    assert [v.state for v in deaf.verdicts][-3:] == [OVER] * 3
    assert deaf.recommended is not None and deaf.recommended < 800
    assert "Memorising: that shows on held-out images only" in report(evidence([], FALLS), deaf)


def test_without_any_measurement_nothing_is_judged() -> None:
    found = evidence(losses=[0.5] * 1000)
    judged = judge(found)
    assert judged.basis == LOG and {v.state for v in judged.verdicts} == {NOT_JUDGED}
    assert judged.ranking[0] in (600, 700) and "by rule of thumb" in report(found, judged)


def test_removed_checkpoints_are_judged_but_not_recommended() -> None:
    found = replace(evidence(LEARNS, FALLS), checkpoints=(100, 500, 1000, 1100))
    judged = judge(found)
    assert judged.recommended == 500 and set(judged.ranking) == {100, 500, 1000, 1100}
    assert judged.ranking[-1] == 1100, "what was not measured comes last"
    text = report(found, judged)
    assert "not measured: step 1,100" in text and "(its file was removed)" in text


def test_how_long_it_has_been_over_trained() -> None:
    assert over_trained_for(judge(evidence(LEARNS, FALLS))) == 4
    assert over_trained_for(judge(evidence(LEARNS[:5], FALLS[:5]))) == 0


def test_the_report_says_what_it_was_measured_with() -> None:
    found = evidence(LEARNS, FALLS, leak=[0.31] * 10, response=[0.8] * 10, nearest=[1.7] * 10)
    text = report(found, judge(found))
    for words in ("2 held-out images", "31% as much", "80% of the base's response", "1.70 times", "for the eye"):
        assert words in text


def test_what_other_nodes_read() -> None:
    judged = judge(evidence(LEARNS, FALLS))
    read = json.loads(json.dumps(as_json(judged)))
    assert read["recommended"] == list(judged.ranking) and read["verdicts"]["1000"]["state"] == OVER


def test_lines_of_a_newer_version_are_read() -> None:
    made = Measure(7, (0.1, 0.2), (0.3, 0.4), effect=0.5, images=(1, 1))
    line = json.loads(json.dumps({**made.as_json(), "invented": 1}))
    assert Measure.from_json(line) == made
