"""LoRA files of any tool as checkpoints: ten files in a folder, in the order in which they were trained."""

from __future__ import annotations

import fnmatch
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import DanluError

ENDING = ".safetensors"
LAST = "final"
MOST_FILES = 500
_PARTS = "-_. "


@dataclass(frozen=True)
class LoraFiles:
    """What a socket of checkpoints carries that are no run's."""

    name: str
    files: tuple[tuple[str, Path], ...]
    """(label, file), the one trained longest last."""


def files_in(root: Path, folder: str, pattern: str) -> LoraFiles:
    """Raises DanluError for a folder outside of `root`, and where no file fits."""
    place = root / folder.strip()
    if not is_below(place, root):
        raise DanluError(f"folder is {folder!r}, which leads outside of {root}; name a folder below it.")
    if not place.is_dir():
        raise DanluError(f"folder: there is no {place}. Name a folder below models/loras.")
    pattern = pattern.strip() or "*"
    names = [file.name for file in place.iterdir() if file.name.endswith(ENDING) and file.is_file()]
    fitting = [name for name in names if fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(name, pattern + ENDING)]
    if not fitting:
        raise DanluError(f"pattern: no {ENDING} file of {place} fits {pattern!r}; there are {len(names)} such files.")
    if len(fitting) > MOST_FILES:
        raise DanluError(f"pattern: {len(fitting)} files of {place} fit {pattern!r}; name fewer than {MOST_FILES}.")
    labels = labelled([name.removesuffix(ENDING) for name in fitting])
    return LoraFiles(place.name or "loras", tuple((label, place / f"{stem}{ENDING}") for stem, label in labels.items()))


def is_below(path: Path, root: Path) -> bool:
    """By what is written: a link that lies there is the user's own, wherever it leads."""
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root))


def labelled(stems: list[str]) -> dict[str, str]:
    """Name -> label, in the order of training: what differs between the names.

    Tools number all files but the last one: `cat-000002`, `cat-000004`, `cat`.
    """
    common = os.path.commonprefix(stems) if len(stems) > 1 else ""
    cut = max((common.rfind(sign) + 1 for sign in _PARTS), default=0)
    if any(stem == common for stem in stems):
        cut = len(common)
    labels = {stem: stem[cut:].strip(_PARTS) or LAST for stem in stems}
    return dict(sorted(labels.items(), key=lambda item: (item[1] == LAST, _numbers_in_order(item[0]))))


def _numbers_in_order(text: str) -> list[tuple[int, int, str]]:
    """So that 2 comes before 10."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in parts if part]
