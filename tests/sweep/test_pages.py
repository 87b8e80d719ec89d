"""The grid as pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image

from danlu.sweep.pages import LARGEST_PAGE, Shown, draw_pages

COLOURS = ((200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30))


def shown(colour: tuple[int, int, int], size: tuple[int, int] = (200, 150), caption: str = "") -> Shown:
    return Shown((Image.new("RGB", size, colour),), caption)


def count(page: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(page) == colour).all(axis=2).sum())


def middle(page: Image.Image, colour: tuple[int, int, int]) -> tuple[float, float]:
    """(x, y)"""
    ys, xs = np.nonzero((np.asarray(page) == colour).all(axis=2))
    return float(xs.mean()), float(ys.mean())


def test_every_cell_stands_in_its_column_and_row() -> None:
    places = [(column, row) for row in ("r1", "r2") for column in ("c1", "c2")]
    (page,) = draw_pages("t", ["c1", "c2"], ["r1", "r2"], {p: shown(c) for p, c in zip(places, COLOURS, strict=True)})
    assert all(count(page, colour) == 200 * 150 for colour in COLOURS)
    (x1, y1), (x2, y2), (x3, y3), (x4, y4) = (middle(page, colour) for colour in COLOURS)
    assert x1 == x3 < x2 == x4 and y1 == y2 < y3 == y4


def test_labels_and_captions_are_written() -> None:
    def ink(column: str, row: str, caption: str) -> int:
        (page,) = draw_pages("t", [column], [row], {(column, row): shown(COLOURS[0], caption=caption)})
        return int((np.asarray(page).max(axis=2) < 180).sum())

    assert ink("i", "i", "") < ink("column", "i", "") < ink("column", "a long row", "")
    assert ink("column", "a long row", "") < ink("column", "a long row", "caption")


def test_a_missing_cell_stays_empty() -> None:
    (page,) = draw_pages("t", ["c1", "c2"], ["r"], {("c2", "r"): shown(COLOURS[0])})
    assert count(page, COLOURS[0]) == 200 * 150


def test_large_pictures_are_made_smaller_and_small_ones_left() -> None:
    (page,) = draw_pages("t", ["c"], ["r"], {("c", "r"): shown(COLOURS[0], (2048, 1024))})
    assert count(page, COLOURS[0]) == 512 * 256
    (page,) = draw_pages("t", ["c"], ["r"], {("c", "r"): shown(COLOURS[0], (16, 16))})
    assert count(page, COLOURS[0]) == 16 * 16


def test_several_pictures_of_a_cell_stand_side_by_side() -> None:
    both = Shown((shown(COLOURS[0]).pictures[0], shown(COLOURS[1]).pictures[0]))
    (page,) = draw_pages("t", ["c"], ["r"], {("c", "r"): both})
    assert [count(page, colour) for colour in COLOURS[:2]] == [200 * 150] * 2
    assert middle(page, COLOURS[0])[0] < middle(page, COLOURS[1])[0]


def test_many_cells_make_several_pages_of_one_size() -> None:
    columns, rows = [f"c{n}" for n in range(12)], [f"r{n}" for n in range(9)]
    cells = {(c, r): shown(COLOURS[0], (512, 512)) for c in columns for r in rows}
    pages = list(draw_pages("t", columns, rows, cells))
    assert len(pages) == 4 and len({page.size for page in pages}) == 1
    assert max(pages[0].size) <= LARGEST_PAGE
    assert sum(count(page, COLOURS[0]) for page in pages) == 12 * 9 * 512 * 512


def test_long_labels_are_wrapped() -> None:
    long = "a very long prompt " * 20 + "x" * 200
    (page,) = draw_pages("t", ["c"], [long], {("c", long): shown(COLOURS[0])})
    assert page.width < 200 + 400
