"""What every captioner is to the rest: pictures in, one text each out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image


@dataclass(frozen=True)
class Caption:
    text: str
    """One line; tags are separated by ", "."""
    flag: str = ""
    """What somebody should look at ("repeats itself", "cut at 512 tokens"); empty: nothing."""


class Captioner(Protocol):
    title: str
    """For people: "Florence-2 base, more detailed caption"."""
    identity: str
    """What decides its texts, seed apart: hash of the model's content, prompt and parameters, equal anywhere."""
    kind: str
    """"prose" or "tags": how texts are joined and cut."""
    batch_size: int

    def captions(self, pictures: Sequence[Image.Image], seeds: Sequence[int]) -> list[Caption]:
        """One batch of upright RGB pictures, a seed each. Loads the model when it is not on its device.

        A text does not depend on its neighbours in the batch. Interrupts of the host and out-of-memory errors pass
        through: the caller stops, or halves the batch.
        """
        ...

    def release(self) -> None:
        """Gives the model's memory back; the next call of `captions` loads it again."""
        ...
