"""Train nodes that are wired one behind the other by `run`: how far the whole of them goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TRAINS = "DanluTrainLoRA"


def last_step(prompt: Mapping[str, Any] | None, node_id: str | None) -> int:
    """The highest `steps` of the train nodes that go on with what `node_id` trains; -1 where there are none.

    `prompt`: the graph in the host's API format. What decides is told before the first step, so that a schedule lies
    over all of the chain, as it would over one node's training of the same length.
    """
    found, wanted, seen = -1, [node_id], set()
    while wanted:
        source = wanted.pop()
        seen.add(source)
        for key, node in (prompt or {}).items():
            link = node.get("inputs", {}).get("run")
            if node.get("class_type") != TRAINS or not isinstance(link, list) or link[0] != source or key in seen:
                continue
            steps = node["inputs"].get("steps")
            found = max(found, steps if isinstance(steps, int) else -1)
            wanted.append(key)
    return found
