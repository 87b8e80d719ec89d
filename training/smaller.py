"""What a run can change to need less memory, those that cost least first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from .config import TrainingConfig


@dataclass(frozen=True)
class Smaller:
    config: TrainingConfig
    changes: tuple[dict[str, int | str], ...] = field(default=())
    """What was changed, one step after the other: inputs of the training config and their values."""

    @property
    def shown(self) -> tuple[str, ...]:
        """ "batch_size 2 and gradient_accumulation 4"."""
        return tuple(" and ".join(f"{name} {value}" for name, value in change.items()) for change in self.changes)

    def _changed(self, **values: int | str) -> Smaller:
        return Smaller(replace(self.config, **values), (*self.changes, values))  # type: ignore[arg-type]


def smaller(config: TrainingConfig) -> Iterator[Smaller]:
    """`config`, resolved, with ever more changed: first what costs only time, then what changes the result a little.

    A batch is split into equal parts: the rows of an optimizer step stay the same.
    """
    found = Smaller(config)
    if config.gradient_checkpointing != "on":
        found = found._changed(gradient_checkpointing="on")
        yield found
    whole, rows = found, config.batch_size
    for batch in (n for n in range(rows - 1, 0, -1) if rows % n == 0):
        accumulation = config.gradient_accumulation * rows // batch
        found = whole._changed(batch_size=batch, gradient_accumulation=accumulation)
        yield found
    if config.optimizer == "adamw":
        yield found._changed(optimizer="adamw8bit")
