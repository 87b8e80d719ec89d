"""A model of transformers that writes texts about pictures: loaded when needed, given back when asked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .captioner import Caption
from .generate import Decoding, Generated, generate, row_seed, rows_of, without_settings
from .home import Home
from .repetition import repeats_itself

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)
ATTEMPTS = 3
"""At a text that repeats itself, the first included."""
GOOD, CUT, STUCK = range(3)


@dataclass(frozen=True)
class Loaded:
    model: Any
    """A `PreTrainedModel`, in eval mode."""
    processor: Any


@dataclass(frozen=True)
class Written:
    tokens: tuple[int, ...]
    text: str
    flag: str = ""


class Engine:
    """What Florence-2 and JoyCaption share: memory, interrupts, seeds, another try at texts that got stuck."""

    def __init__(self, load: Callable[[], Loaded], home: Home, bytes_per_row: int):
        """`bytes_per_row`: for activations of one picture, on the device."""
        self._load = load
        self._home = home
        self._bytes_per_row = bytes_per_row
        self._loaded: Loaded | None = None

    def loaded(self) -> Loaded:
        """The model, read from disk where that was not done yet; not necessarily on its device."""
        if self._loaded is None:
            loaded = self._load()
            without_settings(loaded.model)
            self._loaded = loaded
        return self._loaded

    def write(
        self,
        prepare: Callable[[Any], Mapping[str, Tensor]],
        decoding: Decoding,
        seeds: Sequence[int],
        decode: Callable[[Sequence[int]], str],
        prose: bool = True,
    ) -> list[Written]:
        """A text a row. `prepare` gives the inputs from the processor, on the CPU, each tensor with the row as its
        first axis; `decode` makes a text of tokens.

        Texts that repeat themselves are written again with a penalty and another seed; so are drawn ones that
        reached the limit. What stays so is flagged. `prose=False`: repetition is no fault (lists of places).
        """
        inputs = self.on_device(prepare(self.loaded().processor), len(seeds))
        best: dict[int, tuple[int, Written]] = {}
        waiting = list(range(len(seeds)))
        for attempt in range(ATTEMPTS):
            settings = decoding.again(attempt) if attempt else decoding
            chosen = [seeds[row] if not attempt else row_seed(seeds[row], "again", attempt) for row in waiting]
            part = rows_of(inputs, waiting) if attempt else inputs
            for row, result in zip(waiting, self._generate(part, settings, chosen), strict=True):
                judged = _judged(result, decode(result.tokens), settings, prose)
                best[row] = min(best.get(row, judged), judged, key=lambda found: found[0])
            waiting = [row for row in waiting if best[row][0] >= (CUT if decoding.drawn else STUCK)]
            if not waiting:
                break
        return [best[row][1] for row in range(len(seeds))]

    def on_device(self, inputs: Mapping[str, Tensor], rows: int) -> dict[str, Tensor]:
        """The whole model is on its device after this, and so are the inputs, in the model's dtype."""
        model = self.loaded().model
        device, dtype = self._home.ready(model, self._bytes_per_row * rows), model.dtype
        return {
            key: value.to(device, dtype if value.is_floating_point() else value.dtype) for key, value in inputs.items()
        }

    def release(self) -> None:
        if self._loaded is not None:
            self._home.leave(self._loaded.model)
            self._loaded = None

    def _generate(self, inputs: Mapping[str, Tensor], decoding: Decoding, seeds: Sequence[int]) -> list[Generated]:
        return generate(self.loaded().model, inputs, decoding, seeds, self._home.check)


def _judged(result: Generated, text: str, decoding: Decoding, prose: bool) -> tuple[int, Written]:
    if prose and repeats_itself(text):
        return STUCK, Written(result.tokens, text, "repeats itself")
    if result.cut:
        return CUT, Written(result.tokens, text, f"cut at {decoding.max_new_tokens} tokens")
    return GOOD, Written(result.tokens, text)


def as_caption(parts: Sequence[Written], text: str) -> Caption:
    """One caption of the texts of one picture; every flag is told once."""
    flags = dict.fromkeys(part.flag for part in parts if part.flag)
    return Caption(" ".join(text.split()), ", ".join(flags))
