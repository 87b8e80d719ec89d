"""Config files of other trainers, from the host's input folder."""

from __future__ import annotations

from pathlib import Path

import folder_paths

from ..errors import DanluError
from ..training.imports import MOST_TEXT

SUFFIXES = (".toml", ".yaml", ".yml", ".json")


def config_file(name: str) -> Path:
    """A file below the input folder; raises DanluError for any other path, links followed."""
    root = Path(folder_paths.get_input_directory()).resolve()
    path = (root / name.strip()).resolve()
    if not path.is_relative_to(root):
        raise DanluError(f"file: {name!r} leads outside of {root}. Put the config there, or paste its text.")
    if path.suffix.lower() not in SUFFIXES:
        raise DanluError(f"file: {name!r} is no config; its name must end in {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise DanluError(f"file: there is no {name!r} in {root}. Put the config there, or paste its text.")
    return path


def config_text(name: str) -> str:
    path = config_file(name)
    if path.stat().st_size > 4 * MOST_TEXT:
        raise DanluError(f"file: {name!r} is too large for a training config.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DanluError(f"file: {name!r} is no UTF-8 text; save it as UTF-8.") from error


def config_fingerprint(name: str) -> str:
    """Changes when the file does; what is wrong with it, execution says."""
    try:
        status = config_file(name).stat()
    except DanluError as error:
        return str(error)
    return f"{status.st_mtime_ns} {status.st_size}"
