"""Where cells of a grid stand, in a Chromium without the host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from danlu.tests.browser.fixtures import browser  # noqa: F401

WEB = Path(__file__).parents[2] / "web"
ADDRESS = "http://axes.test/"
Place = tuple[Any, ...]
NAMES = ("checkpoint", "strength", "prompt", "seed", "picture")
SWEPT: list[Place] = [
    ("no LoRA", None, "cat", 5, None),
    ("no LoRA", None, "dog", 5, None),
    *((checkpoint, 1, prompt, 5, None) for checkpoint in ("s1", "s2", "s3") for prompt in ("cat", "dog")),
    *((checkpoint, 0.5, prompt, 5, None) for checkpoint in ("s2", "s3") for prompt in ("cat", "dog")),
]
LAY_OUT = """async ([cells, roles, pages]) => {
  const { laidOut, Places, usualRoles } = await import('/grid/axes.mjs');
  const places = new Places(cells);
  const layout = laidOut(places, roles ?? usualRoles(cells), pages ?? {});
  const text = at => Object.values(at).map(String).join(' ');
  const rows = layout.rows.map(row => layout.columns.map(column => {
    const cell = places.find({ ...layout.page, ...column, ...row });
    return cell ? cell.n : null;
  }));
  return [layout.columns.map(text), layout.rows.map(text), rows];
}"""
GO = """async ([cells, at, name, step]) => {
  const { Places } = await import('/grid/axes.mjs');
  return new Places(cells).neighbour(at, name, step)?.cell.n ?? null;
}"""


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:  # noqa: F811
    context = browser.new_context()
    opened = context.new_page()
    opened.route(f"{ADDRESS}**", _serve)
    opened.goto(ADDRESS)
    yield opened
    context.close()


def _serve(route: Any) -> None:
    name = route.request.url.removeprefix(ADDRESS)
    body = (WEB / name).read_text(encoding="utf-8") if name else "<p></p>"
    route.fulfill(body=body, content_type="text/javascript" if name else "text/html")


def grid(places: list[Place]) -> dict[str, Any]:
    cells = [{"n": n, "at": dict(zip(NAMES, place, strict=True))} for n, place in enumerate(places)]
    columns = list(zip(*places, strict=True))
    values = [list(dict.fromkeys(value for value in column if value is not None)) for column in columns]
    values[1].sort()
    return {"cells": cells, "axes": [{"name": n, "values": v} for n, v in zip(NAMES, values, strict=True)]}


def laid_out(page: Any, places: list[Place], roles: Any = None, pages: Any = None) -> Any:
    return page.evaluate(LAY_OUT, [grid(places), roles, pages])


def test_checkpoints_stand_beside_each_other_and_all_else_below(page: Any) -> None:
    columns, rows, cells = laid_out(page, SWEPT)
    assert columns == ["no LoRA", "s1", "s2", "s3"]
    assert rows == ["0.5 cat", "0.5 dog", "1 cat", "1 dog"]
    assert cells == [[0, None, 8, 10], [1, None, 9, 11], [0, 2, 4, 6], [1, 3, 5, 7]], "the base at every strength"


def test_two_axes_in_the_columns(page: Any) -> None:
    roles = {"checkpoint": "columns", "strength": "columns", "prompt": "rows"}
    columns, rows, cells = laid_out(page, SWEPT, roles)
    assert columns == ["no LoRA null", "s1 1", "s2 0.5", "s2 1", "s3 0.5", "s3 1"], "none for what is not made"
    assert rows == ["cat", "dog"] and cells[0] == [0, 2, 8, 4, 10, 6]


def test_one_value_at_a_time(page: Any) -> None:
    roles = {"checkpoint": "rows", "strength": "page", "prompt": "columns"}
    columns, rows, cells = laid_out(page, SWEPT, roles, {"strength": 0.5})
    assert (columns, rows) == (["cat", "dog"], ["no LoRA", "s2", "s3"])
    assert cells == [[0, 1], [8, 9], [10, 11]]
    assert laid_out(page, SWEPT, roles)[2] == cells, "the first one where none is chosen"


def test_pictures_that_were_given_stand_beside_every_prompt(page: Any) -> None:
    places: list[Place] = [
        ("s1", 1, "cat", 5, 1),
        ("s1", 1, "cat", 5, 2),
        ("s1", 1, "dog", 5, 1),
        ("s1", 1, "dog", 5, 2),
        ("before", None, None, None, 1),
        ("before", None, None, None, 2),
    ]
    columns, rows, cells = laid_out(page, places)
    assert columns == ["s1", "before"] and rows == ["cat 1", "cat 2", "dog 1", "dog 2"]
    assert cells == [[0, 4], [1, 5], [2, 4], [3, 5]]


def test_a_single_cell(page: Any) -> None:
    assert laid_out(page, [("s1", 1, "cat", 5, None)]) == [[""], [""], [[0]]]


@pytest.mark.parametrize(
    ("place", "axis", "step", "there"),
    [
        (("s1", 1, "cat"), "checkpoint", 1, 4),
        (("s1", 1, "cat"), "checkpoint", -1, 0),
        (("s3", 1, "cat"), "checkpoint", 1, None),
        (("s1", 1, "cat"), "strength", -1, None),  # it was not made
        (("no LoRA", 0.5, "cat"), "checkpoint", 1, 8),  # over s1
        (("no LoRA", None, "cat"), "checkpoint", 1, 2),
        (("s2", 1, "cat"), "prompt", 1, 5),
        (("s2", 1, "cat"), "seed", 1, None),
    ],
)
def test_neighbours(page: Any, place: Place, axis: str, step: int, there: int | None) -> None:
    at = dict(zip(NAMES, (*place, 5, None), strict=False))
    assert page.evaluate(GO, [grid(SWEPT), at, axis, step]) == there
