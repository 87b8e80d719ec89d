"""The host's server, where there is one: scripts and tests load the nodes without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def instance() -> Any | None:
    """`server.PromptServer.instance`"""
    from server import PromptServer

    return getattr(PromptServer, "instance", None)


def send(event: str, data: dict[str, Any]) -> None:
    """To every page."""
    server = instance()
    if server is not None:
        server.send_sync(event, data)


def queue() -> Any | None:
    """The host's `execution.PromptQueue`."""
    return getattr(instance(), "prompt_queue", None)


def queued() -> tuple[list[Any], list[Any]]:
    """(items that run, items that wait), as `server.PromptServer.post_prompt` has put them into the queue: number, id,
    prompt, what came with it, ..."""
    found = queue()
    return found.get_current_queue_volatile() if found is not None else ([], [])


def workflow_id(extra: Mapping[str, Any] | None) -> str:
    """Of the workflow that the front end sends along (`extra_pnginfo`); empty where a program has queued it."""
    workflow = (extra or {}).get("workflow")
    found = workflow.get("id") if isinstance(workflow, Mapping) else None
    return found if isinstance(found, str) else ""
