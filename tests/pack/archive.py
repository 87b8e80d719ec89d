"""The archive that the registry hands to users: what git tracks, without what .comfyignore names."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]


def archived() -> list[PurePosixPath]:
    """Its files, as `comfy node pack` would take them; git and the registry read the patterns alike."""
    left_out = set(_git("--cached", "--ignored", "--exclude-from=.comfyignore"))
    return [path for path in _git("--cached") if path not in left_out and (ROOT / path).is_file()]


def _git(*options: str) -> list[PurePosixPath]:
    command = ["git", "-C", str(ROOT), "ls-files", "-z", *options]
    names = subprocess.run(command, check=True, capture_output=True).stdout.decode("utf-8").split("\0")
    return [PurePosixPath(name) for name in names if name]


def unpack(target: Path) -> Path:
    """As Manager does, into a folder of `custom_nodes`."""
    for path in archived():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, target / path)
    return target
