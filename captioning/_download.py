"""Run as a process of its own: `_download.py '{"plan": {...}}'` prints what there is, `{"get": {...}}` fetches it."""

from __future__ import annotations

import json
import sys
from fnmatch import fnmatch
from typing import Any


def plan(repo_id: str, revision: str, allow_patterns: list[str]) -> dict[str, Any]:
    """The commit that the revision stands for, and the size of each file that matches."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(repo_id, revision=revision, files_metadata=True)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    wanted = {name: size for name, size in sizes.items() if any(fnmatch(name, pattern) for pattern in allow_patterns)}
    return {"revision": info.sha, "files": {name: size for name, size in wanted.items() if "/" not in name}}


def get(**request: Any) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(**request, ignore_patterns=["*/*"], max_workers=2)


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    try:
        if "plan" in task:
            json.dump(plan(**task["plan"]), sys.stdout)
        else:
            get(**task["get"])
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
