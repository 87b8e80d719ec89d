"""The figures as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .rounds import Measured, Result
from .scenarios import OURS

HEADINGS = (
    "scenario",
    "contender",
    "s/step",
    "ours is",
    "peak MB",
    "ours is",
    "tensors MB",
    "ours is",
    "activations MB",
    "first step s",
    "imports s",
)
NOTES = """\
s/step: median over rounds. ours is: ours / this row; for times the median of the ratios within each round.
peak MB: resident memory of the process at its peak over that with the model loaded and libraries imported.
tensors MB: the same as torch's allocator counts it; activations MB: of these, what does not outlive the step.
first step: from the queue to its end, model loaded. imports: libraries of training, once per process."""


def table(results: Sequence[Result]) -> str:
    rows = [HEADINGS, *(row for result in results for row in _rows(result))]
    left_out = [f"{r.scenario.name}: no {who}: {why}." for r in results for who, why in r.scenario.left_out.items()]
    return "\n".join([aligned(rows), NOTES, *left_out])


def _rows(result: Result) -> list[tuple[str, ...]]:
    return [_row(result, measured) for measured in result.measured]


def _row(result: Result, m: Measured) -> tuple[str, ...]:
    start = (result.scenario.name, m.contender)
    if m.error is not None:
        return (*start, f"failed: {m.error}")
    ours = result.of(OURS.name)
    return (
        *start,
        f"{m.step_seconds:.3f}",
        times(result.time_ratio(m)),
        megabytes(m.peak_bytes),
        times(_over(ours.peak_bytes, m.peak_bytes)),
        megabytes(m.tensor_peak_bytes),
        times(_over(ours.tensor_peak_bytes, m.tensor_peak_bytes)),
        megabytes(m.activation_bytes),
        f"{m.first_step_seconds:.2f}",
        f"{m.library_seconds:.1f}",
    )


def _over(a: int, b: int) -> float | None:
    return a / b if a and b else None


def times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}x"


def megabytes(count: int) -> str:
    return f"{count / 2**20:.0f}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns: the first two to the left, figures to the right; a short last cell may run on."""
    columns = max(map(len, rows))
    whole = [row for row in rows if len(row) == columns]
    widths = [max(len(row[i]) for row in whole) for i in range(columns)]
    widths[0] = max(len(row[0]) for row in rows)
    widths[1] = max(len(row[1]) for row in rows)
    return "\n".join("  ".join(_cells(row, widths)).rstrip() for row in rows)


def _cells(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    if len(row) < len(widths):
        return [row[0].ljust(widths[0]), row[1].ljust(widths[1]), *row[2:]]
    return [cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]


def encode_table(encoded: Mapping[str, Any]) -> str:
    return "\n".join(
        [
            f"encoding {encoded['pictures']} pictures of {encoded['side']} x {encoded['side']} and their captions",
            f"  new:         {encoded['cold_seconds']:.2f} s",
            f"  from cache:  {encoded['cached_seconds']:.3f} s",
        ]
    )


def caption_table(captioned: Mapping[str, Any]) -> str:
    return "\n".join(
        [
            f"captioning {captioned['pictures']} pictures with the small Florence-2, processor time each",
            f"  a bare loop of transformers: {1000 * captioned['bare_seconds']:.1f} ms",
            f"  through our node:            {1000 * captioned['ours_seconds']:.1f} ms ({times(captioned['ratio'])})",
        ]
    )
