"""What happens on the server, as one JSON line an event: for scripts, and for people who watch a log."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

_STEP = re.compile(r"step ([\d,]+) / ([\d,]+)(?:.*?loss ([\d.eE+-]+))?")


class Events:
    """Writes events; of texts that come many times a second, one every `every` seconds."""

    def __init__(self, out: TextIO | None = None, every: float = 1.0):
        self.out = out or sys.stdout
        self.every = every
        self._last: dict[str, float] = {}

    def tell(self, event: str, **facts: Any) -> None:
        # In ASCII: a pipe on Windows takes no other letters of the world.
        self.out.write(json.dumps({"event": event, "time": round(time.time(), 3), **facts}) + "\n")
        self.out.flush()

    def message(self, kind: str, data: Any, names: Mapping[str, str]) -> None:
        """One websocket message of the server; `names`: what a node is called, by its id."""
        if kind == "progress_text":
            self._text(names.get(data["node"], data["node"]), data["text"])
        elif kind == "executing" and data.get("node"):
            self.tell("node", node=names.get(data["node"], data["node"]))
        elif kind == "executed" and (data.get("output") or {}).get("images"):
            self.tell("images", node=names.get(data["node"], data["node"]), images=data["output"]["images"])

    def _text(self, node: str, text: str) -> None:
        now = time.monotonic()
        step = _STEP.match(text)
        if step and now - self._last.get(node, float("-inf")) < self.every:
            return
        if step:
            self._last[node] = now
            done, total = (int(number.replace(",", "")) for number in step.group(1, 2))
            loss = {"loss": float(step[3])} if step[3] else {}
            self.tell("step", node=node, step=done, steps=total, **loss, text=text.splitlines()[0])
        else:
            self.tell("text", node=node, text=text)
