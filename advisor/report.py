"""A judgement in words, and as what other nodes read of it."""

from __future__ import annotations

from typing import Any

from .measures import Evidence
from .next_run import advice
from .verdicts import HELD_OUT, LOG, NOTHING, TRAINED, Judgement

CANNOT = (
    "Likeness, hands, taste: that is for the eye. Look at pictures of the best two beside each other (Sweep).",
    "Its limits were found on the bundled small model, not on large ones.",
)


def report(evidence: Evidence, judgement: Judgement) -> str:
    lines = [headline(judgement), "", "Verdicts"]
    width = max((len(f"{verdict.step:,}") for verdict in judgement.verdicts), default=1)
    there = set(evidence.checkpoints)
    for verdict in judgement.verdicts:
        gone = "" if verdict.step in there else " (its file was removed)"
        lines.append(f"  step {verdict.step:>{width},}  {verdict.state}: {verdict.reason}{gone}")
    unmeasured = sorted(there - {verdict.step for verdict in judgement.verdicts})
    if unmeasured:
        lines.append(f"  not measured: step {', '.join(f'{step:,}' for step in unmeasured)}")
    lines += ["", "Measured with", f"  {_measured_with(evidence, judgement)}", *_beside(evidence, judgement)]
    lines += ["", "Cannot be judged so", *(f"  {line}" for line in _blind(judgement))]
    return "\n".join([*lines, "", "For a next run", *(f"  {line}" for line in advice(evidence, judgement))])


def as_json(judgement: Judgement) -> dict[str, Any]:
    """`<run>/advice.json`."""
    verdicts = {str(v.step): {"state": v.state, "reason": v.reason} for v in judgement.verdicts}
    return {"recommended": list(judgement.ranking), "basis": judgement.basis, "verdicts": verdicts}


def headline(judgement: Judgement) -> str:
    if not judgement.ranking:
        return "There is no checkpoint yet."
    best = judgement.of(judgement.ranking[0])
    if judgement.recommended is None:
        return f"No checkpoint is good. The least bad is step {judgement.ranking[0]:,}" + (
            f": {best.state}." if best else "."
        )
    if judgement.basis in (LOG, NOTHING):
        return f"Step {judgement.recommended:,}, by rule of thumb: nothing measured tells good from over-trained."
    return f"Step {judgement.recommended:,} is recommended."


def _measured_with(evidence: Evidence, judgement: Judgement) -> str:
    held, trained = max((m.images for m in evidence.measures), default=(0, 0))
    if judgement.basis == HELD_OUT:
        return (
            f"{_images(held, 'held-out')} that nothing was trained on and {_images(trained, 'trained')}, at several "
            "noise levels: the same pictures and the same noise for every checkpoint."
        )
    if judgement.basis == TRAINED:
        return (
            f"{_images(trained, 'trained')} at several noise levels, with the same noise for every checkpoint. None "
            "was held out: good means here that nothing speaks against it."
        )
    return "The losses of the log: single steps, each at other noise." if judgement.basis == LOG else "Nothing."


def _images(count: int, kind: str) -> str:
    return f"{count} {kind} image{'' if count == 1 else 's'}"


def _beside(evidence: Evidence, judgement: Judgement) -> list[str]:
    """What was measured of the best checkpoint without deciding anything."""
    best = next((m for m in evidence.measures if judgement.ranking and m.step == judgement.ranking[0]), None)
    if best is None:
        return []
    told = (
        (best.leak, "Leak: without the trigger the model changes {:.0%} as much as with it."),
        (best.response, "Prompts: {:.0%} of the base's response to the rest of a caption."),
        (best.nearest, "Memorising: the nearest trained image is {:.2f} times as far as what was asked for."),
    )
    return [f"  Step {best.step:,}. {text.format(value)}" for value, text in told if value is not None]


def _blind(judgement: Judgement) -> tuple[str, ...]:
    if judgement.basis == HELD_OUT:
        return CANNOT
    return (
        "Memorising: that shows on held-out images only (12 images, or a folder with the role validation).",
        *CANNOT,
    )
