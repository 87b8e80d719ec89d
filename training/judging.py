"""At each checkpoint of a training: measure it, note what the advisor makes of it, and stop where it says so."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..advisor.reading import read_evidence, write_advice
from ..advisor.report import headline
from ..advisor.verdicts import Judgement, judge, over_trained_for
from .loop import Trainer
from .runs.store import RunStore
from .validation import Validator


@dataclass
class Judging:
    """Hangs on a trainer beside `training.keeping.Keeper`."""

    store: RunStore
    trainer: Trainer
    early_stop: int = 0
    """Over-trained checkpoints in a row after which training ends; 0: never."""
    stopped: bool = False
    _validator: Validator = field(init=False)

    def __post_init__(self) -> None:
        self._validator = Validator(self.trainer)

    def checkpoint(self, step: int) -> Judgement:
        """Inside the loan, the adapters as the checkpoint holds them."""
        log = self.store.validation
        if not any(line["step"] == 0 for line in log.steps(0)):
            log.append(self._validator.base().as_json())
        log.append(self._validator.measure(step).as_json())
        evidence = read_evidence(self.store.folder, step)
        judgement = judge(evidence)
        write_advice(self.store.folder, judgement)
        if 0 < self.early_stop <= over_trained_for(judgement):
            self.stopped = True
            self.trainer.finish()
        return judgement


def outcome(store: RunStore, step: int, steps: int) -> tuple[str, ...]:
    """Lines for the user about a training that has ended at `step`, asked for `steps`."""
    finish = store.finished()
    lines = []
    if step < steps and finish and finish.early and finish.step == step:
        lines.append(f"Stopped early at step {step:,} of {steps:,}: the checkpoints had become over-trained")
    if store.validation.path.exists():
        lines.append(f"Advisor: {headline(judge(read_evidence(store.folder, step)))}")
    return tuple(lines)
