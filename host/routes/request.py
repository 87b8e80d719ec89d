"""What a page asks, and its values, each checked where it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...errors import DanluError
from ...views.errors import NotFound

MOST_VALUES = 20_000
"""Of a list in a POST."""


@dataclass(frozen=True)
class Request:
    """All methods raise DanluError for a value of another kind."""

    path: dict[str, str]
    """What stands for the names in braces of the route."""
    query: dict[str, str]
    body: dict[str, Any] = field(default_factory=dict)

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number of the query, held within bounds."""
        text = self.query.get(name, "")
        if not text:
            return default
        try:
            return min(max(int(text), least), most)
        except ValueError:
            raise DanluError(f"{name} must be a whole number, not {text!r}.") from None

    def index(self, name: str, what: str) -> int:
        """A number of the path; `what` it counts, as "cell". Raises NotFound where nothing can have it."""
        text = self.path[name]
        if not (text.isascii() and text.isdecimal() and len(text) < 9):
            raise NotFound(f"There is no {what} {text[:20]!r}.")
        return int(text)

    def text(self, name: str) -> str:
        """Of the body; empty where it is not given."""
        return as_text(self.body.get(name, ""), name)

    def flag(self, name: str, default: bool | None = False) -> bool:
        """Of the body; None: it must be given."""
        value = self.body.get(name, default)
        if not isinstance(value, bool):
            raise DanluError(f"{name} must be true or false.")
        return value

    def values(self, name: str) -> list[Any]:
        """A list of the body that is not empty."""
        found = self.body.get(name)
        if not isinstance(found, list) or not 0 < len(found) <= MOST_VALUES:
            raise DanluError(f"{name} must be a list with 1 to {MOST_VALUES:,} values.")
        return found


def as_text(value: Any, name: str) -> str:
    """Raises DanluError where it is none."""
    if not isinstance(value, str):
        raise DanluError(f"{name} must be text.")
    return value


def as_whole(value: Any, name: str) -> int:
    """Raises DanluError where it is no whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise DanluError(f"{name} must be whole numbers.")
    return value
