"""Prior preservation: rows that keep the model as it was on everything but the subject.

Their target is the base's own answer, adapters silent, to the same noisy latent. Without regularisation pictures the
latent is that of a training picture and the text its class caption (the caption with the class word in place of the
trigger). With such pictures (DreamBooth, arXiv:2208.12242) theirs are used; there too the base's answer is the better
target than the picture: it has no noise of its own, and what it teaches is to stay, not to become those pictures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..errors import DanluError
from .batches import BatchPlan
from .config import TrainingConfig
from .data import Entry, TrainingData
from .rng import derive_seed
from .rows import Batch, RowMaker, joined

ROWS_PER_PRIOR = 4
"""One prior row for each four rows of a step, at least one. A prior row costs a forward pass more than another."""


@dataclass(frozen=True)
class Prior:
    """Which prior rows belong to a step: a pure function of (seed, step, row)."""

    weight: float
    count: int
    """Rows of a step."""
    pictures: BatchPlan | None
    """The regularisation pictures, one at a time."""

    @classmethod
    def of(cls, data: TrainingData, config: TrainingConfig, seed: int) -> Prior | None:
        """None where prior preservation is off; raises DanluError where there is nothing to preserve it on."""
        if not config.prior_preservation:
            return None
        pictures = data.regularisation
        if not pictures and not any(entry.class_captions for entry in data.trained):
            raise DanluError(
                "prior_preservation needs to know what is not the subject. Type a trigger on Load Dataset (Danlu): "
                "the captions without it are preserved; or wire regularisation pictures to Encode Dataset (Danlu)."
            )
        rows = config.batch_size * config.gradient_accumulation
        plan = BatchPlan.of(pictures, 1, derive_seed(seed, "regularisation")) if pictures else None
        return cls(config.prior_preservation, -(-rows // ROWS_PER_PRIOR), plan)

    def batches(self, rows: RowMaker, step: int, first_row: int, entries: Sequence[Entry]) -> Iterator[Batch]:
        """Prior rows that go with rows `first_row`, ... of `step`, those of one size together. Without targets."""
        by_size: dict[tuple[int, ...], list[Batch]] = defaultdict(list)
        for row, entry in enumerate(entries, start=first_row):
            if row % ROWS_PER_PRIOR:
                continue
            chosen = self._entry(step, row // ROWS_PER_PRIOR, entry)
            if chosen is not None:
                by_size[chosen.bucket].append(rows.row(chosen, step, row, "prior"))
        return (joined(batches) for batches in by_size.values())

    def _entry(self, step: int, number: int, beside: Entry) -> Entry | None:
        """What prior row `number` of `step` shows; `beside`: the training row that it goes with."""
        if self.pictures:
            return self.pictures.rows((step - 1) * self.count + number)[0]
        # Without its mask: all of the picture is to stay as it was.
        return replace(beside, captions=beside.class_captions, mask_key=None) if beside.class_captions else None
