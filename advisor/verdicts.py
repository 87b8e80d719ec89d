"""A verdict for each checkpoint: not learned yet, good, or over-trained.

With held-out pictures, by their loss over the base's (its gain is one minus that):

    not learned yet   before the first checkpoint with `ENOUGH` of the best gain; all, where the best is below `LEAST`
    over-trained      from the checkpoint on after which `tolerance` of the best gain stays lost
    good              between the two; of these, the last one within half of `tolerance` of the best gain, and no odd
                      one, is recommended: likeness goes on growing while held-out pictures do not tell the difference

Without any, the loss on trained pictures says what is not learned yet, and only how the model answers to captions says
what is over-trained: it has stopped listening (`DEAF`). The limits were found on the bundled demo model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from .measures import Evidence, Point

NOT_LEARNED, GOOD, OVER = "not learned yet", "good", "over-trained"
NOT_JUDGED = "not judged"
HELD_OUT, TRAINED, LOG, NOTHING = "held-out images", "trained images", "the log", "nothing"
"""What verdicts were measured with."""

LEAST = 0.01
"""Of the base's loss: less is no learning."""
ENOUGH = 0.8
"""Of the best gain."""
TOLERANCE = 0.15
DEAF = 0.5
"""Of the base's response to captions."""
RULE_OF_THUMB = 0.65
"""Of a run's steps: "often the sixth or seventh of ten", as guides say, where nothing was measured."""


@dataclass(frozen=True)
class Verdict:
    step: int
    state: str
    reason: str


@dataclass(frozen=True)
class Judgement:
    basis: str
    verdicts: tuple[Verdict, ...]
    """Of all measured checkpoints, first to last."""
    ranking: tuple[int, ...]
    """Checkpoints that lie on the disk, the best first."""

    def of(self, step: int) -> Verdict | None:
        return next((verdict for verdict in self.verdicts if verdict.step == step), None)

    @property
    def recommended(self) -> int | None:
        """The best checkpoint on the disk; None where the best is no good."""
        best = self.of(self.ranking[0]) if self.ranking else None
        return best.step if best and best.state in (GOOD, NOT_JUDGED) else None


def judge(evidence: Evidence, tolerance: float = TOLERANCE) -> Judgement:
    """`tolerance`: share of what was gained on held-out pictures that may be lost again."""
    points = evidence.points()
    if points and all(point.held_out is not None for point in points):
        return _by_held_out(points, evidence, tolerance)
    if points and all(point.trained is not None for point in points):
        return _by_trained(points, evidence)
    return _by_log(evidence)


def over_trained_for(judgement: Judgement) -> int:
    """How many of the newest checkpoints are over-trained, one after the other."""
    count = 0
    for verdict in reversed(judgement.verdicts):
        if verdict.state != OVER:
            break
        count += 1
    return count


def smoothed(values: Sequence[float]) -> list[float]:
    """Median of three; the ends as they are: one odd checkpoint is no turn."""
    middle = [median(values[i - 1 : i + 2]) for i in range(1, len(values) - 1)]
    return [values[0], *middle, values[-1]] if len(values) > 2 else list(values)


def _by_held_out(points: list[Point], evidence: Evidence, tolerance: float) -> Judgement:
    raw = {point.step: 1.0 - (point.held_out or 0.0) for point in points}
    gains = smoothed(list(raw.values()))
    top = max(range(len(gains)), key=lambda i: gains[i])
    if gains[top] >= LEAST:
        first_good = next(i for i, gain in enumerate(gains) if gain >= ENOUGH * gains[top])
        first_over = _stays_below(gains, gains[top] * (1.0 - tolerance), top + 1)
    else:
        first_good = first_over = _stays_below(gains, -LEAST, 0)
    states = {
        point.step: OVER if i >= first_over else GOOD if i >= first_good else NOT_LEARNED
        for i, point in enumerate(points)
    }
    near = [
        point.step
        for i, point in enumerate(points)
        if states[point.step] == GOOD
        and gains[i] >= gains[top] * (1.0 - tolerance / 2)
        and raw[point.step] >= gains[top] * (1.0 - tolerance)
    ]
    # Where held-out pictures make no difference, what has been trained longest knows the subject best.
    chosen = max(near, default=None)
    order = sorted(raw, key=lambda step: (step != chosen, states[step] != GOOD, -raw[step]))
    best = max(raw, key=lambda step: raw[step])
    verdicts = [Verdict(p.step, states[p.step], _reason(states[p.step], p, best, raw)) for p in points]
    return Judgement(HELD_OUT, tuple(verdicts), _on_disk(order, evidence))


def _stays_below(gains: list[float], limit: float, start: int) -> int:
    """The first from `start` on after which no gain reaches `limit` again."""
    first = len(gains)
    while first > start and gains[first - 1] < limit:
        first -= 1
    return first


def _reason(state: str, point: Point, best: int, gains: Mapping[int, float]) -> str:
    measured = (
        f"loss on held-out images {_change(gains[point.step])}, on trained ones {_change(1.0 - (point.trained or 1.0))}"
    )
    if state == GOOD:
        return measured + (": the best on those that it has not seen" if point.step == best else "")
    if state == NOT_LEARNED:
        later = gains[best] >= LEAST and best > point.step
        return f"{measured}: " + (f"{_change(gains[best])} at step {best:,}" if later else "nothing to speak of")
    if gains[best] < LEAST:
        return f"{measured}: it learns its pictures, and nothing that holds for others"
    return f"{measured}: at step {best:,} it did better on what it has not seen ({_change(gains[best])})"


def _change(gain: float) -> str:
    """ "12 % below the base's"."""
    return f"{abs(gain):.1%} {'below' if gain >= 0 else 'above'} the base's"


def _by_trained(points: list[Point], evidence: Evidence) -> Judgement:
    """What is good here is only what speaks against nothing: memorising cannot be seen on trained pictures."""
    gains = smoothed([1.0 - (point.trained or 0.0) for point in points])
    most = max(gains)
    first_good = next((i for i, gain in enumerate(gains) if gain >= max(LEAST, most / 2)), len(gains))
    responses = smoothed([1.0 if p.measure.response is None else p.measure.response for p in points])
    first_over = max(_stays_below(responses, DEAF, 0), first_good)
    verdicts = []
    for i, point in enumerate(points):
        state = OVER if i >= first_over else GOOD if i >= first_good else NOT_LEARNED
        reason = f"loss on trained images {_change(gains[i])}"
        if state == OVER:
            reason += f"; only {responses[i]:.0%} of the base's response to captions is left"
        verdicts.append(Verdict(point.step, state, reason))
    # Of good ones the middle: the later learned more, the earlier are freer.
    good = [verdict.step for verdict in verdicts if verdict.state == GOOD]
    middle = good[len(good) // 2] if good else points[-1].step
    order = sorted(verdicts, key=lambda v: (v.state != GOOD, abs(v.step - middle)))
    return Judgement(TRAINED, tuple(verdicts), _on_disk([v.step for v in order], evidence))


def _by_log(evidence: Evidence) -> Judgement:
    """Losses of single steps, at noise drawn anew each time: they show that something was learned, never what."""
    losses, steps = evidence.losses, evidence.checkpoints
    if not losses or not steps:
        return Judgement(NOTHING, tuple(Verdict(s, NOT_JUDGED, "nothing was measured") for s in steps), steps[::-1])
    tenth = max(1, len(losses) // 10)
    start = fmean(losses[:tenth])
    verdicts = []
    for step in steps:
        mean = fmean(losses[max(0, step - tenth) : step] or losses[-1:])
        change = f"loss {mean:.4f} (mean of {tenth} steps), at the start {start:.4f}"
        verdicts.append(Verdict(step, NOT_JUDGED, change))
    middle = RULE_OF_THUMB * max(steps)
    return Judgement(LOG, tuple(verdicts), tuple(sorted(steps, key=lambda step: abs(step - middle))))


def _on_disk(order: Sequence[int], evidence: Evidence) -> tuple[int, ...]:
    """Measured ones first; what was not measured comes last."""
    there = set(evidence.checkpoints)
    return (*(step for step in order if step in there), *sorted(there - set(order)))
