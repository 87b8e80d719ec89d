"""What Danlu answers over HTTP, beside the host's own routes and behind its checks of a request's origin.

POST /danlu/train/finish | pause | save    to the training that runs
GET  /danlu/loras?name=NAME                a LoRA file that Danlu has saved, by the name that the loaders list
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..training.reporter import Command
from . import commands


def register_routes() -> None:
    """Once, when the pack is loaded; does nothing where there is no server."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    if server is None:
        return
    server.routes.post("/danlu/train/{command}")(_command)
    server.routes.get("/danlu/loras")(_lora)


async def _command(request: Any) -> Any:
    from aiohttp import web

    try:
        asked = Command(request.match_info["command"])
    except ValueError:
        known = ", ".join(command.value for command in Command)
        return web.json_response({"error": f"unknown command; there are {known}"}, status=404)
    if not commands.ask(asked):
        return web.json_response({"error": "no training runs"}, status=409)
    return web.json_response({"asked": asked.value})


async def _lora(request: Any) -> Any:
    from aiohttp import web

    path = _own_lora(request.query.get("name", ""))
    if path is None:
        return web.json_response({"error": "there is no such LoRA of Danlu's in models/loras"}, status=404)
    return web.FileResponse(path, headers={"Content-Disposition": "attachment"})


def _own_lora(name: str) -> Path | None:
    """Only what the loaders list, by that very name, and what Danlu has written: other files are not ours to give."""
    import folder_paths
    from safetensors import SafetensorError, safe_open

    if not name.endswith(".safetensors") or name not in folder_paths.get_filename_list("loras"):
        return None
    found = folder_paths.get_full_path("loras", name)
    try:
        with safe_open(found, framework="np") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError, TypeError):
        return None
    return Path(found) if any(key.startswith("danlu") for key in metadata) else None
