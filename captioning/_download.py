"""Run as a process of its own: `_download.py '{"plan": {...}}'` prints what there is, `{"get": {...}}` fetches it.

Not `snapshot_download`: since version 2 huggingface_hub starts a file anew that was stopped in its middle.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlparse


def plan(repository: str, revision: str, patterns: list[str]) -> dict[str, Any]:
    """The commit that the revision stands for, and [size, sha256 or ""] of each file that matches."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(repository, revision=revision, files_metadata=True)
    files = {}
    for file in info.siblings or []:
        name = file.rfilename
        if "/" not in name and "\\" not in name and any(fnmatch(name, pattern) for pattern in patterns):
            files[name] = [file.size or 0, getattr(file.lfs, "sha256", "") if file.lfs else ""]
    return {"revision": info.sha, "files": files}


def get(repository: str, revision: str, files: dict[str, list[Any]], folder: str) -> None:
    """Each file that is not there yet; one that was stopped goes on at its last byte."""
    for name, (size, digest) in files.items():
        place = Path(folder) / name
        if place.exists() and place.stat().st_size == size:
            continue
        part = place.with_name(f"{name}.incomplete")
        _fetch(repository, revision, name, size, part)
        if digest and _sha256(part) != digest:
            part.unlink()
            raise OSError(f"{name} has arrived damaged, and was deleted")
        os.replace(part, place)


def _fetch(repository: str, revision: str, name: str, size: int, part: Path) -> None:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(repository, name, revision=revision)
    location, headers = get_hf_file_metadata(url).location, build_hf_headers()
    if urlparse(location).netloc != urlparse(url).netloc:  # the user's token is for the hub alone
        headers.pop("authorization", None)
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab") as file:
        if file.tell() > size:
            file.truncate(0)
        http_get(location, file, resume_size=file.tell(), headers=headers, expected_size=size)
        file.flush()
        os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    try:
        if "plan" in task:
            json.dump(plan(**task["plan"]), sys.stdout)
        else:
            get(**task["get"])
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
