"""What to change in a next run, and why: the guides' rules of thumb, applied to what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .measures import Evidence, Point
from .verdicts import DEAF, GOOD, LEAST, OVER, Judgement

EARLY = 0.35
"""A best checkpoint before this share of the steps: it went fast."""
STILL = 0.05
"""Of the best gain: what the last third added when more steps are worth it."""
CARRIED = 0.4
"""Of the gain on trained pictures: less of it on held-out ones is memorising."""
LEAKING = 0.4
WILD = 0.3
"""Of the best gain: jumps between neighbours, on average."""
FEW_IMAGES = 12


def advice(evidence: Evidence, judgement: Judgement) -> tuple[str, ...]:
    """One line for each change: what, and why."""
    points = evidence.points()
    if not points:
        return ("Leave validation of Training Config on auto: nothing was measured in this run.",)
    settings = evidence.settings or {}
    found = [*_length(points, judgement, settings), *_data(points, judgement, settings)]
    return tuple(found) or ("Nothing: the next run may be as this one.",)


def _gains(points: list[Point]) -> list[float]:
    return [1.0 - (p.held_out if p.held_out is not None else p.trained or 1.0) for p in points]


def _length(points: list[Point], judgement: Judgement, settings: Mapping[str, Any]) -> Iterator[str]:
    gains, steps = _gains(points), [point.step for point in points]
    best = max(range(len(gains)), key=lambda i: gains[i])
    rate = settings.get("learning_rate")
    if max(1.0 - (p.trained or 1.0) for p in points) < LEAST:
        yield (
            f"Learning rate three times as high{_number(rate, 3)}, or many more steps: not even the trained images "
            "are learned. Look whether the captions hold the trigger."
        )
        return
    states = {verdict.state for verdict in judgement.verdicts}
    third = gains[: max(1, 2 * len(gains) // 3)]
    if best == len(gains) - 1 and gains[best] - max(third) > STILL * gains[best] and OVER not in states:
        yield (
            f"More steps, {_tens(1.5 * steps[-1]):,}: it was still getting better at the end. Only the added steps "
            "will be trained."
        )
    elif OVER in states and best == 0:
        yield (
            f"A third of the learning rate{_number(rate, 1 / 3)}, or checkpoints closer together (save_every "
            f"{max(1, steps[0] // 4)}): the first checkpoint was the best already."
        )
    elif OVER in states and steps[best] <= EARLY * steps[-1]:
        yield (
            f"About {_tens(1.4 * steps[best]):,} steps are enough (fewer repeats or epochs): what came after step "
            f"{steps[best]:,} made it worse. Half the learning rate{_number(rate, 0.5)} makes the good part longer."
        )
    jumps = [abs(b - a) for a, b in zip(gains[best:], gains[best + 1 :], strict=False)]
    if len(jumps) >= 3 and sum(jumps) / len(jumps) > WILD * gains[best] > 0:
        yield f"Half the learning rate{_number(rate, 0.5)}, or ema_decay 0.99: neighbouring checkpoints differ wildly."


def _data(points: list[Point], judgement: Judgement, settings: Mapping[str, Any]) -> Iterator[str]:
    point = _seen(points, judgement)
    measure, rank, images = point.measure, settings.get("rank"), settings.get("images")
    learned = 1.0 - (point.trained or 1.0)
    if point.held_out is not None and learned >= LEAST and 1.0 - point.held_out < CARRIED * learned:
        half = f" ({max(1, rank // 2)} in place of {rank})" if rank else ""
        yield (
            f"More and more different images, or half the rank{half}: only {max(0.0, 1.0 - point.held_out):.1%} of "
            f"{learned:.1%} holds for images that it has not seen. It learns its pictures by heart."
        )
    if measure.leak is not None and measure.leak > LEAKING and not settings.get("prior_preservation"):
        yield (
            f"Regularisation images, or prior_preservation 1 with a class word: without the trigger the model changes "
            f"{measure.leak:.0%} as much as with it."
        )
    if measure.response is not None and measure.response < DEAF:
        yield (
            f"Captions that name what is not the subject (clothes, place, light), each picture its own: only "
            f"{measure.response:.0%} of the base's response to the rest of a caption is left."
        )
    if images is not None and images < FEW_IMAGES and point.held_out is None:
        yield (
            f"More images ({FEW_IMAGES} or more, or a folder with the role validation): with {images} none is held "
            "out, and what is over-trained can only be guessed."
        )


def _seen(points: list[Point], judgement: Judgement) -> Point:
    """The checkpoint that the user will take: the recommended one, else the last good one, else the last."""
    for step in judgement.ranking[:1]:
        for point in points:
            if point.step == step:
                return point
    good = {verdict.step for verdict in judgement.verdicts if verdict.state == GOOD}
    return next((point for point in reversed(points) if point.step in good), points[-1])


def _number(value: Any, factor: float) -> str:
    return f" ({value * factor:.1e} in place of {value:.1e})" if isinstance(value, float) and value > 0 else ""


def _tens(steps: float) -> int:
    return max(10, 10 * round(steps / 10))
