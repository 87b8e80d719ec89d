"""What the trainer will see: final texts and their lengths, and which part of each picture at which size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...captioning.trainer_view import Counter as Tokens
from ...dataset.joining import whole_repeats
from ...dataset.model import Dataset, Picture
from ...errors import DanluError
from ...training.buckets import AUTO_RESOLUTION, Fit, parse_resolutions, step_for
from ...training.data import Size
from ...training.jobs import EncodeOptions, fits_of
from .open import Opened

FACTOR = 8
"""Pixels of a latent pixel: of every common VAE."""
MOST = 200
"""Pictures in one answer."""


@dataclass(frozen=True)
class Training:
    """As on Encode Dataset (Danlu)."""

    resolution: str = "auto"
    bucket_step: int = 64
    upscale_small: bool = False
    native: int = AUTO_RESOLUTION
    """What the model was made for; its text encoder tells Encode Dataset."""


def trainer_view(
    opened: Opened, training: Training, start: int, count: int, counters: Mapping[str, Tokens], bucket: str = ""
) -> dict[str, Any]:
    """`counters`: by the name of the tokenizer. `bucket` "768x512" (height x width): its pictures alone.

    Raises DanluError for a resolution that is none.
    """
    opened = replace(opened)  # as it is in this moment: pictures may be dropped meanwhile
    numbers = opened.numbers()
    sizing = _Sizing(opened, numbers, training)
    if bucket:
        numbers = [n for n in numbers if any(f"{h}x{w}" == bucket for h, w in (f.target for f in sizing.fits[n]))]
    shown = numbers[start : start + min(count, MOST)]
    return {
        "id": opened.id,
        "revision": opened.revision,
        "total": len(numbers),
        "from": start,
        "resolutions": sizing.resolutions,
        "buckets": sizing.buckets(),
        "items": [
            {
                "n": n,
                "name": opened.now[n].name,
                "caption": opened.now[n].caption,
                "tokens": [_told(name, opened.now[n].caption, counter) for name, counter in counters.items()],
                "fits": [_fit(opened.now[n], fit) for fit in sizing.fits[n]],
            }
            for n in shown
        ],
    }


class _Sizing:
    """By role, as Encode Dataset looks at them."""

    def __init__(self, opened: Opened, numbers: Sequence[int], training: Training) -> None:
        self.opened = opened
        self.fits: dict[int, list[Fit]] = {}
        self.resolutions: dict[str, list[int]] = {}
        self.repeats = _repeats(opened)
        options = EncodeOptions(training.resolution, training.bucket_step, upscale_small=training.upscale_small)
        _, unit = step_for(training.native, training.bucket_step, FACTOR)
        for role in dict.fromkeys(opened.part(n).role for n in numbers):
            own = [n for n in numbers if opened.part(n).role == role]
            sizes = [opened.now[n].size for n in own]
            resolutions = parse_resolutions(training.resolution, sizes, training.native, unit)
            self.resolutions[role] = list(resolutions)
            by_size = {size: [fit for _, fit in fits_of(size, resolutions, options, FACTOR)] for size in set(sizes)}
            self.fits.update({n: by_size[opened.now[n].size] for n in own})

    def buckets(self) -> list[dict[str, Any]]:
        """The fullest first; `epoch`: how often an epoch of that role shows pictures of the size."""
        pictures: Counter[tuple[str, Size]] = Counter()
        epoch: Counter[tuple[str, Size]] = Counter()
        for n, found in self.fits.items():
            for fit in found:
                pictures[self.opened.part(n).role, fit.target] += 1
                epoch[self.opened.part(n).role, fit.target] += self.repeats[n]
        return [
            {"role": role, "size": list(size), "pictures": count, "epoch": epoch[role, size]}
            for (role, size), count in sorted(pictures.items(), key=lambda each: (-each[1], each[0]))
        ]


def _repeats(opened: Opened) -> dict[int, int]:
    """Weights turned into repeats, by role."""
    found: dict[int, int] = {}
    for role in {part.role for part in opened.parts}:
        numbers = [n for n in opened.numbers() if opened.part(n).role == role]
        whole = _of(opened, role)
        repeats = [p.repeats for part in whole.parts() for p in part.pictures] if whole else []
        found.update(zip(numbers, repeats, strict=True))
    return found


def _of(opened: Opened, role: str) -> Dataset | None:
    some = opened.dataset().of_role(role)
    return whole_repeats(some)[0] if some else None


def _fit(picture: Picture, fit: Fit) -> dict[str, Any]:
    """`box`: (left, top, right, bottom) of what is seen, in pixels of the upright picture."""
    down, across = picture.size[0] / fit.resized[0], picture.size[1] / fit.resized[1]
    left, top, right, bottom = fit.box
    box = [round(left * across), round(top * down), round(right * across), round(bottom * down)]
    area, seen = fit.resized[0] * fit.resized[1], fit.target[0] * fit.target[1]
    return {"bucket": list(fit.target), "box": box, "lost": 1 - seen / area, "enlarged": down < 1}


def _told(name: str, text: str, counter: Tokens) -> dict[str, Any]:
    """`most`: what one chunk holds; 0: as many as there are."""
    found = counter(text)
    if not found:
        raise DanluError(f"The tokenizer {name} has told nothing.")
    length = found[0]
    return {"tokenizer": name, "tokens": length.tokens, "chunks": length.chunks, "most": length.most}
