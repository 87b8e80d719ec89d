"""A .zip of pictures, unpacked without trusting it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import DanluError
from .captions import CAPTION_SUFFIXES, METADATA_SUFFIXES
from .files import file_digest
from .images import IMAGE_SUFFIXES, VIDEO_SUFFIXES

WANTED = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES, *CAPTION_SUFFIXES, *METADATA_SUFFIXES)
UTF8_NAMES, ENCRYPTED = 0x800, 0x1
CHUNK = 1 << 20


@dataclass(frozen=True)
class ZipLimits:
    """Above these it is a mistake or an attack."""

    files: int = 50_000
    file_bytes: int = 1 << 30
    total_bytes: int = 100 << 30


def unpack(archive: Path, into: Path, limits: ZipLimits | None = None) -> Path:
    """Unpacks pictures and captions, once per content, into a folder below `into`; returns that folder."""
    place = into / f"{_safe(archive.stem)[:40]}-{file_digest(archive)[:16]}"
    if not place.is_dir():
        into.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="unpacking-", dir=into))
        try:
            _unpack(archive, work, limits or ZipLimits())
            work.rename(place)
        except OSError:
            if not place.is_dir():  # else another run was faster
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return _without_wrapper(place)


def _unpack(archive: Path, work: Path, limits: ZipLimits) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            members = _members(archive, file, limits)
            _check_space(archive, work, sum(member.file_size for member, _ in members))
            budget = limits.total_bytes
            for member, name in members:
                budget -= _write(file, member, work / name, min(limits.file_bytes, budget), archive)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error) as error:
        raise DanluError(
            f"The .zip file {archive} cannot be read ({error}). Make it again, or unpack it and give the folder."
        ) from error


def _members(archive: Path, file: zipfile.ZipFile, limits: ZipLimits) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    members = []
    for member in file.infolist():
        name = _member_name(archive, member)
        if member.is_dir() or name.suffix.lower() not in WANTED or hidden(name):
            continue
        if member.flag_bits & ENCRYPTED:
            raise DanluError(f"The .zip file {archive} has a password. Unpack it and give the folder.")
        members.append((member, name))
    if len(members) > limits.files:
        raise DanluError(
            f"The .zip file {archive} holds {len(members)} files; more than {limits.files} are not unpacked. "
            "Unpack it and give the folder."
        )
    if sum(member.file_size for member, _ in members) > limits.total_bytes:
        raise _too_large(archive, "it")
    return members


def _member_name(archive: Path, member: zipfile.ZipInfo) -> PurePosixPath:
    """A relative path of plain names; one that leads outside is refused."""
    text = member.filename
    if not member.flag_bits & UTF8_NAMES:
        text = _other_encoding(text)
    text = text.replace("\\", "/")
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or re.match(r"^[A-Za-z]:", text):
        raise DanluError(
            f"The .zip file {archive} holds a file with the path {text!r}, which leads outside of the folder "
            "that it is unpacked to. It was not unpacked; get it from somewhere you trust."
        )
    return PurePosixPath(*(_safe(part) for part in path.parts))


def _other_encoding(name: str) -> str:
    """Archives without the UTF-8 mark hold names in the encoding of the computer that made them."""
    for encoding in ("utf-8", "gb18030"):
        try:
            return name.encode("cp437").decode(encoding)
        except (UnicodeEncodeError, UnicodeDecodeError):
            continue
    return name


def _safe(part: str) -> str:
    return re.sub(r'[<>:"|?*\x00-\x1f]', "_", part).rstrip(" .") or "_"


def _write(file: zipfile.ZipFile, member: zipfile.ZipInfo, place: Path, limit: int, archive: Path) -> int:
    """Counts the bytes that really come out: the size in the header may be a lie."""
    place.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with file.open(member) as source, place.open("wb") as target:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > limit:
                raise _too_large(archive, member.filename)
            target.write(chunk)
    return written


def _too_large(archive: Path, what: str) -> DanluError:
    return DanluError(f"The .zip file {archive}: {what} is too large to unpack here. Unpack it and give the folder.")


def _check_space(archive: Path, work: Path, needed: int) -> None:
    free = shutil.disk_usage(work).free
    if needed > free:
        raise DanluError(
            f"The .zip file {archive} needs {needed >> 20} MB, but only {free >> 20} MB are free at "
            f"{work.parent}. Make room, or unpack it on another disk and give the folder."
        )


def _without_wrapper(place: Path) -> Path:
    """Archives often hold one folder that holds everything."""
    inside = [entry for entry in os.scandir(place) if not entry.name.startswith(".")]
    if len(inside) == 1 and inside[0].is_dir() and not re.match(r"^\d+_", inside[0].name):
        return _without_wrapper(Path(inside[0].path))
    return place


def hidden(path: PurePosixPath) -> bool:
    """What systems leave behind: `__MACOSX/`, `.DS_Store`, `._picture.png`, `@eaDir/`."""
    return any(part.startswith((".", "@")) or part == "__MACOSX" for part in path.parts)
