"""Pictures to a server on another machine, and its LoRA and grid back."""

from __future__ import annotations

import hashlib
import urllib.parse
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from ..dataset.captions import CAPTION_SUFFIXES
from ..dataset.images import IMAGE_SUFFIXES
from ..errors import DanluError

Put = Callable[[str, bytes, str], object]
"""Name, content, and folder below the server's input folder."""
METADATA = (".csv", ".jsonl", ".json")


def upload(folder: str, put: Put) -> str:
    """The files of a folder, or a .zip as it is; returns what to give Load Dataset as `folder`.

    The place follows from names and content: the same pictures again are not sent to another place, and never mixed
    with others.
    """
    source = Path(folder).expanduser()
    if source.is_file() and zipfile.is_zipfile(source):
        content = source.read_bytes()
        place = f"danlu/{_key([(source.name, content)])}"
        put(source.name, content, place)
        return f"{place}/{source.name}"
    if not source.is_dir():
        raise DanluError(f"config: {folder} is neither a folder nor a .zip on this machine, so it cannot be uploaded.")
    wanted = (*IMAGE_SUFFIXES, *CAPTION_SUFFIXES, *METADATA)
    files = sorted(
        p for p in source.rglob("*") if p.is_file() and p.suffix.lower() in wanted and not _hidden(p, source)
    )
    if not files:
        raise DanluError(f"config: there is no picture in {folder}.")
    place = f"danlu/{_key((path.relative_to(source).as_posix(), path.read_bytes()) for path in files)}"
    for path in files:
        below = path.parent.relative_to(source).as_posix()
        put(path.name, path.read_bytes(), place if below == "." else f"{place}/{below}")
    return place


def _hidden(path: Path, root: Path) -> bool:
    return path.is_symlink() or any(part.startswith(".") for part in path.relative_to(root).parts)


def _key(files: Iterable[tuple[str, bytes]]) -> str:
    found = hashlib.sha256()
    for name, content in files:
        found.update(f"{name}\0{len(content)}\0".encode("utf-8", "surrogatepass"))
        found.update(content)
    return found.hexdigest()[:16]


def listed_name(path: str, listed: Iterable[str]) -> str | None:
    """What the loaders call the file at `path`; both as the server writes them, whose system may be another than ours.

    The longest that fits: `danlu/fox.safetensors` rather than `fox.safetensors` of another folder of theirs.
    """
    whole = path.replace("\\", "/")
    fitting = (name for name in listed if whole.endswith("/" + name.replace("\\", "/")))
    return max(fitting, key=len, default=None)


def fetch_lora(name: str, get: Callable[[str], bytes], out: Path) -> Path:
    """A file of the server's models/loras, as its loaders list it."""
    return _written(
        out / name.replace("\\", "/").rpartition("/")[2], get(f"/danlu/loras?{urllib.parse.urlencode({'name': name})}")
    )


def fetch_image(image: dict[str, str], get: Callable[[str], bytes], out: Path) -> Path:
    """A picture that a node has shown: filename, subfolder and type, as the server's /view takes them."""
    query: dict[str, str] = {key: image[key] for key in ("filename", "subfolder", "type") if key in image}
    return _written(out / Path(image["filename"]).name, get(f"/view?{urllib.parse.urlencode(query)}"))


def _written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
    return path
