"""Text files as they are on disk: bytes, their encoding and line ends, and how they are changed without losing any."""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..dataset.captions import MAX_BYTES

DEBRIS = ".danlu-"
"""Begins the names of temporary files; no dataset lists files that begin with a point."""

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class Untouchable(ValueError):
    """Says why a file is left alone: it is a link, no text, too large."""


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes | None:
    """What is in a file; None: there is none. Never through a link, and never from a pipe or a device."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found.st_mode):
        raise Untouchable("it is a link")
    if not stat.S_ISREG(found.st_mode):
        raise Untouchable("it is no file")
    if found.st_size > limit:
        raise Untouchable(f"it is larger than {limit >> 10} KB")
    return path.read_bytes()


@dataclass(frozen=True)
class Style:
    """How a text is written in a file."""

    encoding: str = "utf-8"
    bom: bytes = b""
    newline: str = "\n"
    end: str = ""
    """Line ends and spaces behind the text."""

    def encoded(self, text: str) -> bytes:
        """`text` has line ends of "\\n"; what the encoding has no letters for makes the file UTF-8."""
        text = text.replace("\n", self.newline) + self.end
        try:
            return self.bom + text.encode(self.encoding)
        except UnicodeEncodeError:
            return text.encode("utf-8", "replace")


def decoded(raw: bytes) -> tuple[str, Style]:
    """A file's text, its line ends as "\n", without what is behind it, and its style; raises Untouchable."""
    text, style = plain_text(raw)
    body = text.rstrip()
    return body.replace("\r\n", "\n"), replace(style, end=text[len(body) :])


def plain_text(raw: bytes) -> tuple[str, Style]:
    """All of a file's text, line ends as they are; raises Untouchable."""
    bom, encodings = b"", ["utf-8", "gb18030", "cp1252"]
    for mark, name in _BOMS:
        if raw.startswith(mark):
            bom, encodings = mark, [name]
    if not bom and b"\0" in raw:
        raise Untouchable("it is no text")
    for encoding in encodings:
        try:
            text = raw[len(bom) :].decode(encoding)
        except UnicodeDecodeError:
            continue
        return text, Style(encoding, bom, "\r\n" if "\r\n" in text else "\n")
    raise Untouchable("it is no text that can be decoded")


def create(path: Path, content: bytes) -> None:
    """A new file, whole or not there; raises FileExistsError where there is one."""
    temporary = _written_beside(path, content, None)
    try:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def overwrite(path: Path, content: bytes) -> None:
    """A file that is there, as it was or whole anew, with its permissions."""
    temporary = _written_beside(path, content, stat.S_IMODE(os.lstat(path).st_mode))
    try:
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _written_beside(path: Path, content: bytes, mode: int | None) -> Path:
    temporary = path.with_name(f"{DEBRIS}{sha(path.name.encode('utf-8', 'surrogatepass'))[:16]}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | BINARY, 0o666), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


BINARY = getattr(os, "O_BINARY", 0)
"""Windows writes other line ends without it."""


def debris(folder: Path) -> Iterator[Path]:
    """What a crash in the middle of writing left."""
    return folder.glob(f"{DEBRIS}*.tmp")
