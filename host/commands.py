"""What a user asks of a training that runs: from the browser or any HTTP client to the trainer, between two steps."""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from ..training.reporter import Command
from .server import queue, queued

_lock = threading.Lock()
_running = 0
_asked: list[Command] = []


@contextmanager
def listening() -> Iterator[None]:
    """Commands are taken for the time of the context; what came before is forgotten."""
    global _running
    with _lock:
        _running += 1
        _asked.clear()
    try:
        yield
    finally:
        with _lock:
            _running -= 1


def ask(command: Command) -> bool:
    """Whether a training runs that will hear it."""
    with _lock:
        if not _running:
            return False
        _asked.append(command)
        return True


def taken() -> Command | None:
    """The oldest command that nobody has taken yet."""
    with _lock:
        return _asked.pop(0) if _asked else None


def queue_again() -> bool:
    """Puts the prompt that runs now behind all that wait; False where nothing waits.

    The item is the host's own: see `server.queued`.
    """
    items = queue()
    running, waiting = queued()
    if items is None or not waiting or len(running) != 1:
        return False
    _, _, *rest = copy.deepcopy(running[0])
    items.put((max(item[0] for item in waiting) + 1, str(uuid.uuid4()), *rest))
    return True
