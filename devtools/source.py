"""ComfyUI's own files: checked by hash, then taken out of the pinned source distribution."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path, PurePosixPath

from .console import Trouble
from .places import Pins


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def extract(archive: Path, pins: Pins, target: Path) -> None:
    """Files equal to what is there are left alone: a host may be running from this very tree."""
    top = f"{pins.archive.removesuffix('.tar.gz')}/{pins.inside}/"
    seen = 0
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            if member.name.startswith(top) and not member.isdir():
                _write_member(tar, member, _inside(target, member, member.name[len(top) :]))
                seen += 1
    if not seen:
        raise Trouble(f"{archive.name} carries no {pins.inside}; delete {archive} and run this again.")


def _inside(target: Path, member: tarfile.TarInfo, name: str) -> Path:
    """The place of a member below `target`; nothing but plain files, nothing outside."""
    parts = PurePosixPath(name).parts
    odd = name.startswith("/") or ".." in parts or "\\" in name or any(":" in part for part in parts)
    path = target.joinpath(*parts)
    if odd or not member.isfile() or not path.resolve().is_relative_to(target.resolve()):
        raise Trouble(
            f"the archive holds an unsafe entry ({member.name}); nothing more was extracted. "
            "Delete the archive and report this."
        )
    return path


def _write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = tar.extractfile(member)
    assert source is not None
    data = source.read()
    if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
