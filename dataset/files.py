"""What is asked of any file."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from pathlib import Path

CHUNK = 1 << 20
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Line ends, turns of the writing direction, and bytes that are no text: they garble every line that names the file."""


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def file_stat(path: Path) -> os.stat_result:
    """Raises OSError also for what is no file: reading a pipe would wait for ever."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "a pipe, a device or a folder, not a file")
    return found


def why_unread(error: OSError) -> str:
    """For people, without the path, which the caller names."""
    if error.errno == errno.ENOENT:
        return "a link to nothing, or just deleted"
    if error.errno == errno.ELOOP:
        return "a link that leads to itself"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "ComfyUI's user may not read it"
    return error.strerror or str(error) or type(error).__name__


def shown(name: str) -> str:
    """A file's name for messages: one line, in reading order, whatever somebody put into it."""
    return _UNSHOWN.sub(lambda match: f"\\x{ord(match[0]):02x}", name)


def sync_folder(folder: Path) -> None:
    """New names are on the disk too. Windows has no such call, and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
