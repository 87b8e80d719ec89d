"""What JoyCaption is asked: its trained prompts, or the user's own."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import DanluError

TABLE = Path(__file__).with_name("joy_prompts.json")
WEIGHTED = re.compile(r"(\d+(?:\.\d+)?)\s*:\s*(.+)")


@cache
def table() -> dict[str, Any]:
    """`types` (kind; the prompt for "any" length, a number of "words", a "length"), `lengths`, `extra`, `system`."""
    return json.loads(TABLE.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Prompt:
    text: str
    kind: str
    """"prose" or "tags"."""
    weight: float = 1.0


def trained_prompt(caption_type: str, length: str, extra: Iterable[str] = (), name: str = "") -> Prompt:
    """`length`: any, a word of the table, or a number of words. `extra`: short names of the table, or whole sentences.

    With a `name`, the model is told to use it for the person or character.
    """
    types = table()["types"]
    if caption_type not in types:
        raise DanluError(f"caption_type: JoyCaption has no {caption_type!r}. It has: {', '.join(types)}.")
    chosen = types[caption_type]
    form = "any" if length == "any" else "words" if length.isdigit() else "length"
    if form == "length" and length not in table()["lengths"]:
        raise DanluError(f"length: {length!r} is neither a number nor one of: {', '.join(table()['lengths'][:6])}.")
    first = chosen[form].replace("{word_count}", length).replace("{length}", length)
    return Prompt(" ".join([first, *extra_sentences(extra, name)]), chosen["kind"])


def extra_sentences(extra: Iterable[str], name: str = "") -> list[str]:
    """Short names of the table become its sentences, other lines stay; each once."""
    known = table()["extra"]
    wanted = [line.strip() for line in extra if line.strip()]
    names = ["name"] if name and "name" not in wanted else []
    if "name" in wanted and not name:
        raise DanluError("extra_options: `name` needs a name to use: fill the input name.")
    sentences = [known.get(line, line) for line in [*names, *wanted]]
    return [sentence.replace("{name}", name) for sentence in dict.fromkeys(sentences)]


def custom_prompt(text: str, kind: str = "auto", name: str = "") -> Prompt:
    """The user's own; `{name}` stands for the name. `kind` auto: tags when it asks for tags."""
    if kind == "auto":
        kind = "tags" if re.search(r"\btags\b", text, re.IGNORECASE) else "prose"
    return Prompt(text.strip().replace("{name}", name), kind)


def prompt_list(lines: str, extra: Iterable[str] = (), name: str = "", kind: str = "auto") -> list[Prompt]:
    """One prompt a line: an own one, or "type" or "type, length" of the table; "3: ..." counts three times."""
    extra, found = list(extra), []
    for line in filter(None, map(str.strip, lines.splitlines())):
        weighted = WEIGHTED.fullmatch(line)
        weight, text = (float(weighted[1]), weighted[2]) if weighted else (1.0, line)
        if weight <= 0:
            raise DanluError(f"random_prompts: the weight of {text!r} must be more than 0.")
        caption_type, _, length = (part.strip() for part in text.partition(","))
        lengths = table()["lengths"]
        if caption_type in table()["types"] and (not length or length in lengths or length.isdigit()):
            prompt = trained_prompt(caption_type, length or "any", extra, name)
        else:
            prompt = custom_prompt(text, kind, name)
        found.append(Prompt(prompt.text, prompt.kind, weight))
    return found


def choose(prompts: list[Prompt], seed: int) -> Prompt:
    """The same for the same seed on any machine."""
    if len(prompts) == 1:
        return prompts[0]
    # Its own stream: the seed's first draw belongs to the sampling of tokens.
    return random.Random(f"prompt {seed}").choices(prompts, [prompt.weight for prompt in prompts])[0]


def kind_of(prompts: list[Prompt]) -> str:
    """Texts of which some are prose are joined as prose, which never splits at commas."""
    return "tags" if all(prompt.kind == "tags" for prompt in prompts) else "prose"


def prompts_for(
    caption_type: str,
    length: str,
    extra: Iterable[str],
    name: str,
    custom: str = "",
    lines: str = "",
    kind: str = "auto",
) -> tuple[Prompt, ...]:
    """What a node's inputs ask for: a list of prompts (`lines`), an own prompt, or one of the table."""
    if custom.strip() and lines.strip():
        raise DanluError("The inputs 'custom_prompt' and 'random_prompts' are both filled: empty one of them.")
    if lines.strip():
        return tuple(prompt_list(lines, extra, name, kind))
    if custom.strip():
        return (custom_prompt(custom, kind, name),)
    return (trained_prompt(caption_type, length, extra, name),)
