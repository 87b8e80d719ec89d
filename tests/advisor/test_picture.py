"""The curve shows the verdicts and the recommended step."""

from __future__ import annotations

import numpy as np

from danlu.advisor.picture import BANDS, HELD_OUT_LINE, INK, LEFT, RIGHT, TRAINED_LINE, WIDTH, draw
from danlu.advisor.verdicts import GOOD, NOT_LEARNED, OVER, judge

from .curves import evidence
from .test_verdicts import FALLS, LEARNS


def pixels_of(colour: tuple[int, ...], picture: np.ndarray) -> np.ndarray:
    """Columns that have it, the legend left out."""
    return np.unique(np.argwhere((picture[60:] == np.array(colour)).all(-1))[:, 1])


def test_bands_lie_in_the_order_of_the_verdicts() -> None:
    found = evidence(LEARNS, FALLS)
    picture = np.asarray(draw(found, judge(found)))
    early, good, late = (pixels_of(BANDS[state], picture) for state in (NOT_LEARNED, GOOD, OVER))
    assert early.min() < good.min() < late.min() and early.max() < good.max() < late.max()
    for colour in (HELD_OUT_LINE, TRAINED_LINE):
        assert len(pixels_of(colour, picture)) > (WIDTH - LEFT - RIGHT) // 2
    mark = LEFT + judge(found).ranking[0] / 1000 * (WIDTH - LEFT - RIGHT)
    columns = pixels_of(INK, picture)
    assert any(abs(column - mark) <= 2 for column in columns)


def test_without_held_out_pictures_there_is_one_line() -> None:
    found = evidence([], FALLS)
    picture = np.asarray(draw(found, judge(found)))
    assert len(pixels_of(HELD_OUT_LINE, picture)) == 0 < len(pixels_of(TRAINED_LINE, picture))


def test_with_nothing_measured_it_says_so() -> None:
    found = evidence(losses=[0.5] * 100)
    assert np.asarray(draw(found, judge(found))).min() < 200
