"""Rules that give some layers another rank, alpha or learning rate: `LoRAConfig.per_block`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from ..errors import DanluError
from .config import LoRAConfig

_EXAMPLE = "Write for example 'double_blocks: rank=8, alpha=8, lr=0.5', one rule a line."


@dataclass(frozen=True)
class Rule:
    """Values for layers whose path matches; None keeps that of the config."""

    text: str
    pattern: re.Pattern[str]
    rank: int | None = None
    alpha: float | None = None
    lr: float = 1.0


@lru_cache(maxsize=16)
def parse_rules(text: str) -> tuple[Rule, ...]:
    """One rule a line; empty lines and those that start with # count for nothing. Raises DanluError."""
    lines = [line.strip() for line in text.splitlines()]
    return tuple(_rule(line) for line in lines if line and not line.startswith("#"))


def layer_config(name: str, config: LoRAConfig) -> tuple[LoRAConfig, float]:
    """The config of the layer at path `name`, and the factor of its learning rate.

    A rule with a rank and no alpha keeps alpha / rank, the scale of the adapter.
    """
    rule = next((rule for rule in parse_rules(config.per_block) if rule.pattern.search(name)), None)
    if rule is None:
        return config, 1.0
    rank = rule.rank or config.rank
    alpha = config.alpha * rank / config.rank if rule.alpha is None else rule.alpha
    return replace(config, rank=rank, alpha=alpha), rule.lr


def idle_rules(config: LoRAConfig, names: Iterable[str]) -> list[Rule]:
    """Rules whose pattern is in none of the paths."""
    names = list(names)
    return [rule for rule in parse_rules(config.per_block) if not any(map(rule.pattern.search, names))]


def _rule(line: str) -> Rule:
    pattern, colon, values = line.rpartition(":")
    if not colon or not pattern.strip() or not values.strip():
        raise DanluError(f"per_block: '{line}' is no rule. {_EXAMPLE}")
    given: dict[str, str] = {}
    for part in values.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name not in ("rank", "alpha", "lr") or name in given:
            raise DanluError(f"per_block: '{part.strip()}' in '{line}' is none of rank=, alpha=, lr=. {_EXAMPLE}")
        given[name] = value
    try:
        compiled = re.compile(pattern.strip())
    except re.error as error:
        raise DanluError(f"per_block: '{pattern.strip()}' is not a regular expression: {error}.") from error
    return _checked(line, compiled, given)


def _checked(line: str, pattern: re.Pattern[str], given: dict[str, str]) -> Rule:
    try:
        rank = int(given["rank"]) if "rank" in given else None
        alpha = float(given["alpha"]) if "alpha" in given else None
        lr = float(given.get("lr", 1.0))
    except ValueError as error:
        raise DanluError(f"per_block: a value in '{line}' is not a number. {_EXAMPLE}") from error
    fits = (rank is None or 1 <= rank <= 4096) and (alpha is None or 1e-6 <= alpha <= 1e6) and 0.0 <= lr <= 1000.0
    if not fits:
        raise DanluError(f"per_block: '{line}': rank is 1 to 4096, alpha above 0, lr (a factor) 0 to 1000.")
    return Rule(line, pattern, rank, alpha, lr)
