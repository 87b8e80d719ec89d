"""What a user looks for in captions: words, words with *, or regular expressions that cannot hang."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..errors import DanluError

MATCHES = ("wildcard", "exact", "regex")
LONGEST = 300
"""Characters of a regular expression."""
MOST_REPEATS = 2000
"""What its counted repeats may multiply to: they are unrolled, and a few nested ones fill the memory."""
SECONDS = 10.0
"""All matching of one run; an expression that takes longer would never end."""
AT_ONCE = 0.5

_COUNTS = re.compile(r"(?<!\\)\{(?!\d*,?\d*\})")
_NUMBERS = re.compile(r"\{(\d*),?(\d*)\}")
_ARROW = re.compile(r"\s*(?:->|=>|→)\s*")


@dataclass
class Clock:
    """How much of the processor's time matching may still take, in seconds."""

    left: float = SECONDS

    def run(self, name: str, pattern: str, work: Callable[[float], Any]) -> Any:
        """`work` gets the seconds that it has. Raises DanluError, naming the input."""
        start = time.thread_time()
        try:
            if self.left <= 0:
                raise TimeoutError
            return work(min(AT_ONCE, self.left))
        except TimeoutError as error:
            raise DanluError(
                f"The input {name!r}: {pattern!r} takes too long to match. Repeats within repeats, such as (a+)+, do "
                "that; write it more simply."
            ) from error
        finally:
            self.left -= time.thread_time() - start


@dataclass(frozen=True)
class Pattern:
    """One thing to look for; case makes no difference."""

    text: str
    match: str
    name: str
    """The input that it is from."""
    clock: Clock = field(default_factory=Clock, compare=False)
    _fitting: dict[str, bool] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Tags that were looked at: a large set has each of them many times."""

    def fits(self, tag: str) -> bool:
        """The whole tag. Underscores are spaces, but for regular expressions."""
        if tag not in self._fitting:
            found = tag if self.match == "regex" else tag.replace("_", " ")
            self._fitting[tag] = bool(self._run(lambda seconds: self._whole.fullmatch(found, timeout=seconds)))
        return self._fitting[tag]

    def is_in(self, prose: str) -> bool:
        return bool(self._run(lambda seconds: self._phrase.search(prose, timeout=seconds)))

    def replaced_tag(self, tag: str, new: str) -> str:
        return self._replaced(self._whole, tag, new)

    def replaced(self, prose: str, new: str) -> str:
        return self._replaced(self._phrase, prose, new)

    def _replaced(self, compiled: Any, text: str, new: str) -> str:
        target: Any = new if self.match == "regex" else lambda _: new
        try:
            return str(self._run(lambda seconds: compiled.sub(target, text, timeout=seconds)))
        except DanluError:
            raise
        except (IndexError, KeyError, ValueError, _error()) as error:  # a group that is not there
            raise DanluError(
                f"The input {self.name!r}: {new!r} cannot be put in for {self.text!r}: {error}."
            ) from error

    def _run(self, work: Callable[[float | None], Any]) -> Any:
        """Words, and words with *, always come to an end: only expressions are on the clock."""
        if self.match != "regex":
            return work(None)
        return self.clock.run(self.name, self.text, work)

    @cached_property
    def _whole(self) -> Any:
        if self.match == "regex":
            return _compiled(self.text, self.name)
        words = self.text.replace("_", " ")
        parts = re.split(r"\*+", words) if self.match == "wildcard" else [words]
        return _compiled(_with_gaps(parts, "."), self.name, checked=False)

    @cached_property
    def _phrase(self) -> Any:
        """In running text: words end where they end."""
        if self.match == "regex":
            return self._whole
        parts = re.split(r"\*+", self.text) if self.match == "wildcard" else [self.text]
        body = _with_gaps(parts, r"[^\s,.;:!?]")
        start = r"(?<!\w)" if re.match(r"[a-zA-Z0-9_]", self.text) else ""
        end = r"(?!\w)" if re.search(r"[a-zA-Z0-9_]$", self.text) else ""
        return _compiled(f"{start}{body}{end}", self.name, checked=False)


def _with_gaps(parts: list[str], gap: str) -> str:
    """The parts in this order; each is taken where it comes first, and never given back, so that no try is repeated."""
    first, *others = map(re.escape, parts)
    middle = "".join(f"(?>{gap}*?{part})" for part in others[:-1])
    return first + middle + (f"{gap}*{others[-1]}" if others else "")


def patterns(text: str, match: str, name: str, clock: Clock | None = None) -> list[Pattern]:
    """Of an input: separated by commas or lines; regular expressions by lines. Raises DanluError, naming the input."""
    if match not in MATCHES:
        raise DanluError(f"The input 'match' is {match!r}; it can be one of {', '.join(MATCHES)}.")
    parts = text.splitlines() if match == "regex" else re.split(r"[,，\n]", text)
    clock = clock or Clock()
    found = [Pattern(part.strip(), match, name, clock) for part in parts if part.strip()]
    for pattern in found:
        _ = pattern._whole
    return found


def replacements(text: str, match: str, name: str, clock: Clock | None = None) -> list[tuple[Pattern, str]]:
    """Lines of "old -> new"."""
    found = []
    for line in (line.strip() for line in text.splitlines() if line.strip()):
        arrow = _ARROW.search(line)
        if arrow is None or not arrow.start():
            raise DanluError(f"The input {name!r}: the line {line!r} is not like 'old -> new'.")
        new = line[arrow.end() :]
        found += [(pattern, new) for pattern in patterns(line[: arrow.start()], match, name, clock)]
    return found


def _compiled(pattern: str, name: str, checked: bool = True) -> Any:
    import regex

    if checked:
        _check(pattern, name)
    try:
        return regex.compile(pattern, regex.IGNORECASE)
    except (regex.error, RecursionError, OverflowError) as error:
        raise DanluError(f"The input {name!r}: {pattern!r} is no regular expression: {error}.") from error


def _check(pattern: str, name: str) -> None:
    if len(pattern) > LONGEST:
        raise DanluError(f"The input {name!r}: a regular expression has {LONGEST} characters at the most.")
    product = 1
    for low, high in _NUMBERS.findall(pattern):
        product *= max(1, *(int(number[:6]) for number in (low, high) if number)) if low or high else 1
    if product > MOST_REPEATS or _COUNTS.search(pattern):
        raise DanluError(
            f"The input {name!r}: {pattern!r} has repeats in braces that are too large, or no numbers. Use * or +, or "
            r"\{ for a brace."
        )


def _error() -> type[Exception]:
    import regex

    return regex.error  # type: ignore[no-any-return]
