"""JoyCaption: prose or tags, by prompts that it was trained with or the user's own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DanluError
from .captioner import Caption
from .engine import Engine, Loaded, Written, as_caption
from .generate import Decoding
from .home import Home
from .joy_files import Chat, bytes_per_row, is_joy, load_joy
from .joy_prompts import Prompt, choose, kind_of, table
from .models import content_identity, read_config, require_transformers, weight_files
from .precision import Room, choose_precision, model_size

if TYPE_CHECKING:
    from PIL import Image

LEAST_TRANSFORMERS = (4, 56)
BATCH_SIZE = 4
PROMPT_TOKENS = 1100
"""The picture's 729, and the longest of the trained prompts."""


@dataclass(frozen=True)
class JoyOptions:
    prompts: tuple[Prompt, ...]
    """Each picture gets one of them, by weight, drawn by its seed."""
    system: str = ""
    """Empty: the one that it was trained with."""
    max_new_tokens: int = 512
    temperature: float = 0.6
    top_p: float = 0.9
    top_k: int = 0
    precision: str = "auto"


class JoyCaption:
    """A `Captioner`."""

    batch_size = BATCH_SIZE

    def __init__(self, folder: Path, name: str, options: JoyOptions, home: Home, room: Room):
        """`name`: for people. Raises DanluError for what is wrong with the folder or the options."""
        require_transformers(LEAST_TRANSFORMERS, "JoyCaption")
        config = read_config(folder)
        if not is_joy(config):
            raise DanluError(f"The input 'model': {folder} holds no JoyCaption model (its config.json says otherwise).")
        per_row = bytes_per_row(config, PROMPT_TOKENS + options.max_new_tokens)
        size = model_size(weight_files(folder))
        self.precision = choose_precision(options.precision, size, room, per_row * self.batch_size)
        self._prompts = list(options.prompts)
        self._system = options.system.strip() or table()["system"]
        self._decoding = Decoding(options.max_new_tokens, options.temperature, options.top_p, options.top_k)
        weights = size.bytes(self.precision.name)
        self._engine = Engine(lambda: load_joy(folder, self.precision, lambda: home.make_room(weights)), home, per_row)
        self.title = f"{name}, {_named(self._prompts)}"
        self.kind = kind_of(self._prompts)
        self.identity = self._identity(folder, options.precision)

    def captions(self, pictures: Sequence[Image.Image], seeds: Sequence[int]) -> list[Caption]:
        loaded = self._engine.loaded()
        chat = Chat(loaded.processor)
        asked = [choose(self._prompts, seed) for seed in seeds]
        texts = [chat.text(self._system, prompt.text) for prompt in asked]

        def prepare(_: Any) -> Any:
            return chat.inputs(texts, list(pictures))

        written = self._engine.write(prepare, self._decoding, seeds, _decoder(loaded))
        return [_caption(row, prompt) for row, prompt in zip(written, asked, strict=True)]

    def release(self) -> None:
        self._engine.release()

    def _identity(self, folder: Path, precision: str) -> str:
        """`precision`: as asked for. What `auto` becomes depends on the memory that is free just then."""
        prompts = [asdict(prompt) for prompt in self._prompts]
        text = f"joycaption|{content_identity(folder)}|{prompts}|{self._system}|{self._decoding}|{precision}"
        return hashlib.sha256(text.encode()).hexdigest()


def tidy_tags(text: str) -> str:
    """One line of tags, each once, without the full stop of a sentence."""
    tags = (" ".join(tag.split()).rstrip(".") for tag in text.replace("\n", ",").split(","))
    return ", ".join({tag.casefold(): tag for tag in tags if tag}.values())


def _caption(row: Written, prompt: Prompt) -> Caption:
    return as_caption([row], tidy_tags(row.text) if prompt.kind == "tags" else row.text)


def _decoder(loaded: Loaded) -> Any:
    tokenizer = loaded.processor.tokenizer

    def decode(tokens: Sequence[int]) -> str:
        return tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False).strip()

    return decode


def _named(prompts: Sequence[Prompt]) -> str:
    if len(prompts) > 1:
        return f"{len(prompts)} prompts"
    text = prompts[0].text
    return f"“{text[:60].rstrip()}…”" if len(text) > 60 else f"“{text}”"
