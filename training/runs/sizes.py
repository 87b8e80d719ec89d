"""What the files of a run take on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

Inode = tuple[int, int]
"""(device, number): what a file is known by, under however many names."""


def files_below(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every file, in folders of the folder too; links are not followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from files_below(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):  # what is being written goes by another name in a moment
                    yield Path(entry.path), entry.stat(follow_symlinks=False)


def inode(stat: os.stat_result) -> Inode:
    return stat.st_dev, stat.st_ino
