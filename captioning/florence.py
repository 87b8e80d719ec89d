"""Florence-2: captions, and tags from what it finds in a picture."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DanluError
from .captioner import Caption
from .engine import Engine, Loaded, Written, as_caption
from .florence_files import is_florence, is_prompt_gen, load_florence, unused_tokens
from .generate import Decoding
from .home import Home
from .models import content_identity, read_config, require_transformers
from .texts import TAG_SEPARATOR, deduped

if TYPE_CHECKING:
    from PIL import Image

LEAST_TRANSFORMERS = (4, 56)
"""The first with Florence-2 in it."""
BATCH_SIZE = 8
BYTES_PER_ROW = 500 << 20
"""Activations of one picture of 768 x 768 with three beams, in 16 bits, rounded up."""
LOCATION = re.compile(r"(?:<loc_\d+>)+")
MARKS = re.compile(r"</?s>|<pad>")


@dataclass(frozen=True)
class Task:
    token: str
    kind: str
    """"prose" or "tags"."""
    places: bool = False
    """The text is labels with boxes; the labels are the tags."""
    prompt_gen: bool = False
    """Only fine-tunes called PromptGen know it."""


TASKS = {
    "caption": Task("<CAPTION>", "prose"),
    "detailed caption": Task("<DETAILED_CAPTION>", "prose"),
    "more detailed caption": Task("<MORE_DETAILED_CAPTION>", "prose"),
    "text in the picture": Task("<OCR>", "prose"),
    "tags: objects": Task("<OD>", "tags", places=True),
    "tags: regions": Task("<DENSE_REGION_CAPTION>", "tags", places=True),
    "PromptGen: tags": Task("<GENERATE_TAGS>", "tags", prompt_gen=True),
    "PromptGen: mixed caption": Task("<MIXED_CAPTION>", "prose", prompt_gen=True),
    "PromptGen: mixed caption plus": Task("<MIXED_CAPTION_PLUS>", "prose", prompt_gen=True),
    "PromptGen: analysis": Task("<ANALYZE>", "prose", prompt_gen=True),
}
"""Names are for ever: workflows hold them."""
NO_TASK = "none"


@dataclass(frozen=True)
class FlorenceOptions:
    tasks: tuple[str, ...] = ("more detailed caption",)
    """Names from `TASKS`; their texts are joined in this order."""
    max_new_tokens: int = 512
    num_beams: int = 3
    temperature: float = 0.0
    precision: str = "float32"


class Florence2:
    """A `Captioner`."""

    batch_size = BATCH_SIZE

    def __init__(self, folder: Path, name: str, options: FlorenceOptions, home: Home):
        """`name`: for people. Raises DanluError for what is wrong with the folder or the options."""
        require_transformers(LEAST_TRANSFORMERS, "Florence-2")
        self._tasks = _tasks(folder, options.tasks)
        self._options = options
        self._engine = Engine(lambda: load_florence(folder, options.precision), home, BYTES_PER_ROW)
        self.title = f"{name}, {' + '.join(options.tasks)}"
        self.kind = "tags" if all(task.kind == "tags" for task in self._tasks) else "prose"
        text = f"florence-2|{content_identity(folder)}|{sorted(asdict(options).items())}"
        self.identity = hashlib.sha256(text.encode()).hexdigest()

    def captions(self, pictures: Sequence[Image.Image], seeds: Sequence[int]) -> list[Caption]:
        columns = [self._written(task, pictures, seeds) for task in self._tasks]
        return [as_caption(parts, joined(parts, self._tasks)) for parts in zip(*columns, strict=True)]

    def release(self) -> None:
        self._engine.release()

    def _written(self, task: Task, pictures: Sequence[Image.Image], seeds: Sequence[int]) -> list[Written]:
        loaded = self._engine.loaded()

        def prepare(processor: Any) -> Any:
            return processor(text=[task.token] * len(pictures), images=list(pictures), return_tensors="pt")

        decode = _decoder(loaded, task)
        return self._engine.write(prepare, self._decoding(task, loaded), seeds, decode, prose=not task.places)

    def _decoding(self, task: Task, loaded: Loaded) -> Decoding:
        """As in the model's own settings, but for tags: what must not come twice breaks lists."""
        return Decoding(
            max_new_tokens=self._options.max_new_tokens,
            temperature=self._options.temperature,
            num_beams=self._options.num_beams,
            no_repeat_ngram_size=0 if task.kind == "tags" else 3,
            suppress_tokens=unused_tokens(loaded),
            forced_bos_token_id=0,
        )


def joined(parts: Sequence[Written], tasks: Sequence[Task]) -> str:
    """The texts of one picture as one: lists by commas, sentences after full stops."""
    text, last = "", ""
    for part, task in zip(parts, tasks, strict=True):
        if not part.text:
            continue
        if text:
            listed = last == task.kind == "tags"
            text = f"{text.rstrip(' ,.')}, " if listed else f"{text} " if text[-1] in ".!?" else f"{text}. "
        text, last = text + part.text, task.kind
    return text


def distinct_labels(text: str) -> str:
    """ "car<loc_1>...door<loc_5>...car<loc_9>..." -> "car, door"."""
    labels = (" ".join(label.split()) for label in LOCATION.split(text))
    return TAG_SEPARATOR.join(deduped(label for label in labels if label))


def _decoder(loaded: Loaded, task: Task) -> Callable[[Sequence[int]], str]:
    tokenizer = loaded.processor.tokenizer

    def decode(tokens: Sequence[int]) -> str:
        if not task.places:
            return tokenizer.decode(tokens, skip_special_tokens=True).strip()
        return distinct_labels(MARKS.sub("", tokenizer.decode(tokens, skip_special_tokens=False)))

    return decode


def _tasks(folder: Path, names: Sequence[str]) -> list[Task]:
    config = read_config(folder)
    if not is_florence(config):
        raise DanluError(f"The input 'model': {folder} holds no Florence-2 model (its config.json says otherwise).")
    chosen = [name for name in names if name != NO_TASK]
    if not chosen:
        raise DanluError("The input 'task': choose at least one.")
    unknown = [name for name in chosen if name not in TASKS]
    if unknown:
        raise DanluError(f"The input 'task' is {unknown[0]!r}; it can be one of {', '.join(TASKS)}.")
    special = [name for name in chosen if TASKS[name].prompt_gen]
    if special and not is_prompt_gen(folder, config):
        raise DanluError(
            f"The input 'task' is {special[0]!r}, which only Florence-2 models called PromptGen know; {folder.name} "
            "would write nonsense. Choose another task, or a PromptGen model."
        )
    return [TASKS[name] for name in chosen]
