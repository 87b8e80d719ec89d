"""Reading other trainers' configs into ours, and telling what could not be read."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from ...errors import DanluError
from . import ai_toolkit, kohya
from .source import Imported, Source

MOST_TEXT = 256 * 1024


def import_config(text: str) -> Imported:
    """`text`: an ai-toolkit YAML (or JSON) or a kohya TOML, as their trainers take it; which, its keys tell.

    Raises DanluError for texts that are neither, are broken, or hold values of the wrong kind.
    """
    found = foreign_config(parsed_config(text))
    if found:
        return found
    raise DanluError(
        "config: none of its keys are ai-toolkit's (config: process: network, train) or kohya's (network_dim, "
        "learning_rate, optimizer_type). Use a config that one of these trainers takes."
    )


def foreign_config(data: Mapping[str, Any]) -> Imported | None:
    """Of ai-toolkit or kohya; None: of neither."""
    if ai_toolkit.is_one(data):
        return ai_toolkit.convert(data)
    source = Source(data)
    return kohya.convert(source) if kohya.is_one(source) else None


def parsed_config(text: str) -> Mapping[str, Any]:
    """The keys of a TOML, YAML or JSON text; DanluError where it is neither."""
    if len(text) > MOST_TEXT:
        raise DanluError(f"config: {len(text):,} characters are no training config; the limit is {MOST_TEXT:,}.")
    if not text.strip():
        raise DanluError("config: it is empty. Paste an ai-toolkit YAML or a kohya TOML, or name its file.")
    return _parsed(text)


def _parsed(text: str) -> Mapping[str, Any]:
    problems = []
    for kind, parse in (("TOML", _toml), ("YAML", _yaml)):
        try:
            data = parse(text)
        except RecursionError:
            problems.append(f"{kind}: nested too deeply")
        except (ValueError, ArithmeticError, KeyError) as error:
            problems.append(f"{kind}: {' '.join(str(error).split())[:200]}")
        else:
            if isinstance(data, Mapping):
                return data
            problems.append(f"{kind}: it holds no keys")
    raise DanluError(f"config: it is neither TOML nor YAML. {'. '.join(problems)}.")


def _toml(text: str) -> Any:
    for library in ("tomllib", "tomli"):  # tomllib is part of Python since 3.11
        try:
            return importlib.import_module(library).loads(text)
        except ModuleNotFoundError:
            continue
    raise ValueError("this Python reads none: use Python 3.11, or install tomli")


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(error) from error
