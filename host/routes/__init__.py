"""What Danlu answers over HTTP, below /danlu/; one file a topic, `answers` says how.

POST train/finish | pause | save    to the training that runs
GET  loras?name=NAME                a LoRA file that Danlu has saved, by the name that the loaders list
"""

from __future__ import annotations


def register_routes() -> None:
    """Once, when the pack is loaded; does nothing where there is no server."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    if server is None:
        return
    from . import answers, loras, training  # noqa: F401 (each registers what it answers)

    answers.register(server.routes)
