"""Whether a run fits its card, and what would make it fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from .config import TrainingConfig
from .memory import Card, Needs, needs, shown_bytes
from .smaller import smaller

_SMALLER = (0.75, 0.5)
"""Sides of pictures that are tried, as parts of theirs."""


@dataclass(frozen=True)
class Demand:
    """What a run would ask of the card."""

    parameters: Sequence[Tensor]
    config: TrainingConfig
    """With gradient_checkpointing "on" or "off"."""
    kept: int
    """Bytes of activations at a step's peak, as configured."""
    recomputed: int
    """The same with gradient checkpointing on."""
    side: int
    """Of the largest pictures, in pixels."""

    def needs(self) -> Needs:
        activations = self.recomputed if self.config.gradient_checkpointing == "on" else self.kept
        return needs(self.parameters, self.config, activations)


@dataclass(frozen=True)
class Verdict:
    fits: bool
    """With `changes`, if there are any."""
    changes: tuple[str, ...]
    """Inputs and the values that they would need; none where it fits as it is."""
    offloaded: int
    """Bytes of the base that the host would keep elsewhere."""
    needs: Needs
    """With `changes`."""

    @property
    def headline(self) -> str:
        if not self.fits:
            return "DOES NOT FIT"
        return "FITS" if not self.changes else "FITS WITH " + ", ".join(self.changes)


def judged(card: Card, demand: Demand) -> Verdict:
    """The first that fits: as it is, then ever more changed, then with a part of the base offloaded, then smaller."""
    changed = list(_changes(demand))
    for changes, changed_demand in changed:
        if card.base + changed_demand.needs().total <= card.usable:
            return Verdict(True, changes, 0, changed_demand.needs())
    if card.offloads:
        for changes, changed_demand in changed:
            needed = changed_demand.needs()
            if needed.total <= card.usable:
                return Verdict(True, changes, card.base + needed.total - card.usable, needed)
    changes, smallest = changed[-1]
    for part in _SMALLER:
        side = int(demand.side * part) // 64 * 64
        needed = _with_area(smallest, part**2).needs()
        if side >= 256 and (0 if card.offloads else card.base) + needed.total <= card.usable:
            offloaded = max(0, card.base + needed.total - card.usable)
            return Verdict(True, (*changes, f"resolution {side}"), offloaded, needed)
    return Verdict(False, (), 0, demand.needs())


def _changes(demand: Demand) -> Iterator[tuple[tuple[str, ...], Demand]]:
    """The demand as it is, then with one change more each time, those that cost least first."""
    yield (), demand
    for found in smaller(demand.config):
        part = found.config.batch_size / demand.config.batch_size
        yield found.shown, replace(_with_area(demand, part), config=found.config)


def _with_area(demand: Demand, part: float) -> Demand:
    """With a part of the rows, or of their pixels."""
    return replace(demand, kept=int(demand.kept * part), recomputed=int(demand.recomputed * part))


def explained(verdict: Verdict, card: Card) -> str:
    """ "peak 9.4 GB of 21.0 GB", and what the host would do about the rest."""
    peak = card.base - verdict.offloaded + verdict.needs.total
    told = f"peak {shown_bytes(peak)} of {shown_bytes(card.available)}"
    if verdict.offloaded:
        told += f", {shown_bytes(verdict.offloaded)} of the model offloaded by the host (slower)"
    return told
