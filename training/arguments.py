"""`name=value` pairs that a user typed for an optimizer. Values are Python literals; nothing is ever run."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import DanluError

_CLASS = re.compile(r"(?<![\w.])class(?=\s*=)")
_EXAMPLE = 'e.g. "betas=(0.9, 0.95), eps=1e-8"'


@dataclass(frozen=True)
class Arguments:
    """What `optimizer_args` says."""

    values: Mapping[str, Any] = field(default_factory=dict)
    class_name: str = ""
    """Of `class=Name`."""


def optimizer_arguments(text: str) -> Arguments:
    """Raises DanluError for anything but name=value pairs with plain values."""
    if not text.strip():
        return Arguments()
    try:
        # `class` is a word of the language: no argument can be called that.
        call = ast.parse(f"_({_CLASS.sub('class_', text.strip())})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DanluError(f"optimizer_args cannot be read: {text!r}. Write name=value pairs, {_EXAMPLE}.") from error
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
        raise DanluError(f"optimizer_args must be name=value pairs, {_EXAMPLE}; it is {text!r}.")
    values: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise DanluError(f"optimizer_args must be name=value pairs, {_EXAMPLE}; it is {text!r}.")
        values[keyword.arg] = _literal(keyword.arg, keyword.value)
    class_name = values.pop("class_", "")
    return Arguments(values, str(class_name))


def _literal(name: str, node: ast.expr) -> Any:
    if name == "class_" and isinstance(node, ast.Name):
        return node.id
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise DanluError(
            f"optimizer_args: the value of {name} is no plain value. Numbers, True, False, None and tuples of them can "
            f"be given, {_EXAMPLE}."
        ) from error
