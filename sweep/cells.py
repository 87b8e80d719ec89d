"""What a loop goes through, cell by cell, and where each cell stands in the grid. Knows nothing of the host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import DanluError

BEST_TWO, ALL = "best two", "all"
STRENGTHS_FOR = (BEST_TWO, ALL)
NO_LORA = "no LoRA"
BEFORE, TRUTH = "before", "truth"
MOST_CELLS = 10_000
"""More than anyone looks at; a typing error comes to that."""


@dataclass(frozen=True)
class Constant:
    """What an output of the loop node is in a cell: a plain value, written into the inputs that it is wired to."""

    value: Any

    @property
    def identity(self) -> Any:
        return self.value


@dataclass(frozen=True)
class Made:
    """What an output of the loop node is in a cell: an output of a node that makes it."""

    class_type: str
    inputs: Mapping[str, Any]
    """Constants, and links to nodes of the user's graph."""
    identity: str
    """The same content, the same text, whatever file or node it comes from."""
    output: int = 0
    empty: bool = False
    """A LoRA that does nothing: there is nothing to save of it."""


Given = Constant | Made


@dataclass(frozen=True)
class Place:
    """Where a cell stands on each axis; None: at every value of it, since it is the same at all of them."""

    checkpoint: str
    strength: float | None = None
    prompt: str | None = None
    seed: int | None = None
    picture: int | None = None
    """Counts from 1."""


@dataclass(frozen=True)
class Origin:
    """Whose LoRA a cell shows: a checkpoint of a run, or a file; neither: it shows none."""

    run: str = ""
    """The name of its folder."""
    step: int = 0
    file: str = ""


@dataclass(frozen=True)
class Cell:
    column: str
    row: str
    given: tuple[Given | None, ...]
    """By output of the loop node; None: the output that is wired to the grid itself."""
    step: int = 0
    """The training step that it needs; 0: none."""
    place: Place = Place("")
    origin: Origin = Origin()

    @property
    def label(self) -> str:
        return ", ".join(filter(None, (self.column, self.row)))


@dataclass(frozen=True)
class LoopPlan:
    """A loop before its first cell."""

    name: str
    """What the pictures' folder is called."""
    cells: tuple[Cell, ...]
    """In the order of execution."""
    columns: tuple[str, ...]
    """In the order shown; also of pictures that no cell makes."""
    rows: tuple[str, ...]
    summary: str
    pictures: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    """(column, row) -> a picture (height, width, 3) of 0 to 255 that is there already: before, truth."""

    def now(self, cell: Cell) -> Cell:
        """The cell as it stands now: training that the user ended early gives its last step from then on."""
        return cell


@dataclass(frozen=True)
class Weights:
    """A LoRA to test."""

    label: str
    lora: Given
    origin: Origin = Origin()


@dataclass(frozen=True)
class Picture:
    """A picture to start from, for LoRAs that edit."""

    image: Given
    before: Any = None
    """(height, width, 3) of 0 to 255."""
    truth: Any = None


@dataclass(frozen=True)
class Axes:
    """Of a sweep: every combination is a cell, but for strengths that only the best get."""

    weights: Sequence[Weights]
    strengths: Sequence[float]
    prompts: Sequence[str]
    seeds: Sequence[int]
    pictures: Sequence[Picture] = ()
    base: Given | None = None
    """The LoRA of the column without one; None: there is no such column."""
    strengths_for: str = BEST_TWO
    best: Sequence[int] = ()
    """Places in `weights` of those that the other strengths are for; empty: the last two."""


def sweep_plan(name: str, axes: Axes) -> LoopPlan:
    """Raises DanluError where there is nothing to do, or far too much."""
    pairs = list(_pairs(axes))
    rows = list(_rows(axes))
    count = len(pairs) * len(rows)
    if not count or count > MOST_CELLS:
        raise DanluError(f"This would be {count:,} cells; give checkpoints, strengths, prompts and seeds for fewer.")
    cells = [_cell(pair, row) for pair in pairs for row in rows]
    _check_distinct(cells)
    pictures = {
        (column, row.label): shown
        for row in rows
        for column, shown in ((BEFORE, row.picture.before), (TRUTH, row.picture.truth))
        if shown is not None
    }
    given = [column for column in (BEFORE, TRUTH) if any(place[0] == column for place in pictures)]
    shown = [pair.label for pair in sorted(pairs, key=lambda pair: pair.place)]
    summary = _summary(len(axes.weights), axes, len(pairs), len(rows))
    return LoopPlan(name, tuple(cells), (*given, *shown), tuple(row.label for row in rows), summary, pictures)


@dataclass(frozen=True)
class _Pair:
    """A checkpoint at a strength: one column."""

    label: str
    place: tuple[int, float]
    weights: Weights
    strength: float


@dataclass(frozen=True)
class _Row:
    label: str
    prompt: str
    seed: int
    picture: Picture
    number: int | None
    """Of the picture."""


def _pairs(axes: Axes) -> Iterable[_Pair]:
    """Outermost, so that weights are patched once a pair: all at the main strength, then what else is asked for."""
    strengths = list(dict.fromkeys(axes.strengths))
    if axes.base is not None:
        yield _Pair(NO_LORA, (-1, 0.0), Weights(NO_LORA, axes.base), 0.0)
    if not strengths or not axes.weights:
        return
    main = min(strengths, key=lambda strength: abs(strength - 1.0))
    others = [strength for strength in strengths if strength != main]
    count = len(axes.weights)
    chosen = range(count) if axes.strengths_for == ALL else axes.best or range(max(0, count - 2), count)
    for place in range(count):
        yield _pair(axes.weights[place], place, main, bool(others))
    for place in sorted(chosen):
        for strength in others:
            yield _pair(axes.weights[place], place, strength, True)


def _pair(weights: Weights, place: int, strength: float, told: bool) -> _Pair:
    label = f"{weights.label} at {strength:g}" if told else weights.label
    return _Pair(label, (place, strength), weights, strength)


def _rows(axes: Axes) -> Iterable[_Row]:
    pictures = list(axes.pictures) or [Picture(Constant(None))]
    prompts, seeds = list(dict.fromkeys(axes.prompts)), list(dict.fromkeys(axes.seeds))
    for number, picture in enumerate(pictures, 1):
        for prompt in prompts:
            for seed in seeds:
                parts = [prompt]
                parts += [f"seed {seed}"] if len(seeds) > 1 else []
                parts += [f"picture {number}"] if len(pictures) > 1 else []
                yield _Row(" · ".join(filter(None, parts)), prompt, seed, picture, number if axes.pictures else None)


def _cell(pair: _Pair, row: _Row) -> Cell:
    label = ", ".join(filter(None, (pair.label, row.label)))
    values = (pair.strength, row.prompt, row.seed)
    given = (None, pair.weights.lora, *map(Constant, values), row.picture.image, Constant(label))
    strength = None if pair.place[0] < 0 else pair.strength
    place = Place(pair.weights.label, strength, row.prompt, row.seed, row.number)
    return Cell(pair.label, row.label, given, place=place, origin=pair.weights.origin)


def _check_distinct(cells: Sequence[Cell]) -> None:
    seen: set[tuple[str, str]] = set()
    for cell in cells:
        if (cell.column, cell.row) in seen:
            raise DanluError(f"Two cells of the grid have the same label, {cell.label!r}: name the files differently.")
        seen.add((cell.column, cell.row))


def _summary(checkpoints: int, axes: Axes, pairs: int, rows: int) -> str:
    """ "20 cells: 10 LoRAs and none, 2 prompts"."""
    parts = [_count(checkpoints, "LoRA") + (" and none" if axes.base is not None else "")]
    parts += [_count(len(set(axes.strengths)), "strength")] if len(set(axes.strengths)) > 1 else []
    parts += [_count(len(set(axes.prompts)), "prompt")]
    parts += [_count(len(set(axes.seeds)), "seed")] if len(set(axes.seeds)) > 1 else []
    parts += [_count(len(axes.pictures), "picture")] if axes.pictures else []
    return f"{pairs * rows:,} cells: {', '.join(parts)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def numbers(text: str, what: str) -> list[float]:
    """ "0.6, 0.8, 1.0" -> [0.6, 0.8, 1.0]. Raises DanluError, naming the input."""
    parts = [part for part in re.split(r"[,;\s]+", text.strip()) if part]
    try:
        found = [float(part) for part in parts]
    except ValueError as error:
        raise DanluError(f"{what} is {text!r}: give numbers, separated by commas.") from error
    if not found or not all(abs(number) <= 100 for number in found):
        raise DanluError(f"{what} is {text!r}: give at least one number, none beyond 100.")
    return found


def whole_numbers(text: str, what: str) -> list[int]:
    """ "0, 1, 2" -> [0, 1, 2]. Raises DanluError, naming the input."""
    parts = [part for part in re.split(r"[,;\s]+", text.strip()) if part]
    if not parts or not all(part.isdecimal() and int(part) < 2**64 for part in parts):
        raise DanluError(f"{what} is {text!r}: give whole numbers from 0 on, separated by commas.")
    return [int(part) for part in parts]


def lines(texts: Iterable[str]) -> list[str]:
    """One prompt a line, of one text or of several; [""] where there is none."""
    found = [line.strip() for text in texts for line in str(text).splitlines() if line.strip()]
    return found or [""]
