"""Browsers ask for the files of the pages each time: parts of two versions of the pack do not fit together.

The host sees to that for .js and .css; .mjs and .json would be kept for days, by the age of the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

WEB = Path(__file__).resolve().parents[2] / "web"
KINDS = (".mjs", ".json", ".md")


def keep_fresh(app: Any) -> None:
    """`app`: aiohttp's, of the host, before it runs."""
    app.on_response_prepare.append(_asked_each_time)


async def _asked_each_time(request: Any, response: Any) -> None:
    # /extensions/<name that the host knows the folder by>/...
    if not request.path.startswith("/extensions/") or not request.path.endswith(KINDS):
        return
    from nodes import EXTENSION_WEB_DIRS

    folder = EXTENSION_WEB_DIRS.get(request.path.split("/")[2])
    if folder and Path(folder).resolve() == WEB:
        # A file that has not changed is answered in a line.
        response.headers.setdefault("Cache-Control", "no-cache")
