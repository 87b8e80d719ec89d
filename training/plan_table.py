"""A plan as text to look at: the verdict first, numbers in front, short lines."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from .memory import shown_bytes
from .plan import Plan
from .plan_layers import LayerGroup, by_block
from .plan_verdict import explained
from .reporter import duration

_WIDTH = 76
_MOST_NAMES = 4
"""Names that are listed for layers of one shape."""


def plan_text(plan: Plan, notes: Sequence[str] = ()) -> str:
    sections = [
        _verdict(plan),
        _memory(plan),
        _time_and_disk(plan),
        _layers("TRAINED", plan.trained, "parameters"),
        _layers("LEFT OUT", plan.left_out, "weights", brief=True),
        _values(plan),
        ["NOTES", *(line for note in notes for line in _wrapped(note))] if notes else [],
    ]
    return "\n\n".join("\n".join(section) for section in sections if section)


def headline(plan: Plan) -> str:
    """The answer in two lines."""
    head = plan.verdict.headline if plan.disk.fits else f"DISK TOO SMALL\n{plan.verdict.headline}"
    costs = [explained(plan.verdict, plan.card), shown_bytes(plan.disk.total) + " on disk"]
    if plan.seconds_per_step is not None:
        costs.insert(1, _time(plan))
    return "\n".join([head, " · ".join(costs)])


def _verdict(plan: Plan) -> list[str]:
    answered = ["This run is on disk already: training answers at once."] if plan.done else []
    return [headline(plan), *answered, plan.summary]


def _time(plan: Plan) -> str:
    return duration((plan.seconds_per_step or 0.0) * plan.steps)


def _memory(plan: Plan) -> list[str]:
    found, config = plan.needs, plan.resolved.training
    how = "measured in a dry step" if plan.measured else "foretold from smaller pictures"
    rows = [
        (plan.card.base, "model, as loaded"),
        (found.adapters, "adapters, fp32"),
        (found.gradients, "gradients"),
        (found.optimizer, f"state of {config.optimizer}"),
        (found.average, "moving average"),
        (found.activations, f"activations, {how}"),
        (plan.card.base + found.total, "peak"),
        (plan.card.available, f"can be had, of {shown_bytes(plan.card.total)}; a tenth stays free"),
    ]
    return [f"MEMORY ({plan.card.name})", *_columns((shown_bytes(size), text) for size, text in rows if size)]


def _time_and_disk(plan: Plan) -> list[str]:
    disk = plan.disk
    rows = []
    if plan.seconds_per_step is not None:
        rows.append((_time(plan), f"{plan.seconds_per_step:.2f} s a step"))
    files = f"{disk.checkpoints} checkpoints, log and state; {shown_bytes(disk.free)} are free"
    rows.append((shown_bytes(disk.total), files))
    return ["TIME AND DISK", *_columns(rows)]


def _layers(title: str, groups: Sequence[LayerGroup], what: str, brief: bool = False) -> list[str]:
    if not groups:
        return []
    lines = [f"{title}: {_total(groups, what)}"]
    for block, members in by_block(groups).items():
        ranks = sorted({rank for group in members for rank in group.ranks})
        shown = f", rank {' and '.join(map(str, ranks))}" if ranks else ""
        lines.append(f"  {block}: {_total(members, what)}{shown}")
        if not brief:
            lines += _columns(_by_shape(members), "    ")
    return lines


def _by_shape(groups: Iterable[LayerGroup]) -> list[tuple[str, str]]:
    found: dict[str, list[LayerGroup]] = {}
    for group in groups:
        found.setdefault(group.shown_shape, []).append(group)
    return [(f"{sum(g.count for g in members)} ×", f"{shape}  {_names(members)}") for shape, members in found.items()]


def _names(groups: Sequence[LayerGroup]) -> str:
    names = [group.name.replace("transformer_blocks.*.", "") for group in groups if group.name]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _total(groups: Iterable[LayerGroup], what: str) -> str:
    groups = list(groups)
    count, parameters = sum(group.count for group in groups), sum(group.parameters for group in groups)
    return f"{count} layer{'s' if count > 1 else ''}, {_shown_count(parameters)} {what}"


def _shown_count(number: int) -> str:
    for size, letter in ((10**9, " B"), (10**6, " M"), (10**3, " k")):
        if number >= size:
            return f"{number / size:.1f}{letter}"
    return str(number)


def _values(plan: Plan) -> list[str]:
    given = ["set by you: " + ", ".join(plan.given)] if plan.given else []
    return ["VALUES", *(line for text in (*given, *plan.resolved.choices) for line in _wrapped(text))]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ")


def _columns(rows: Iterable[tuple[str, str]], indent: str = "  ") -> list[str]:
    rows = list(rows)
    width = max((len(number) for number, _ in rows), default=0)
    return [f"{indent}{number:>{width}}  {text}" for number, text in rows]
