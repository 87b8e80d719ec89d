"""Puts saving together with the host's folders and loader: what the save node calls."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfy.cli_args import args
from torch import Tensor

from ..errors import DanluError
from ..training.picture import cover, thumbnails
from ..training.runs.store import RunHandle
from ..training.saving import SaveRequest, save_lora, save_run
from .lora import verify
from .paths import loras_folder

log = logging.getLogger(__name__)

MOST_GRAPH = 2 * 2**20
"""Characters. The front end looks at the first 4 MB of a file, and tensors' names need some of that."""


@dataclass(frozen=True)
class Graph:
    """The workflow that a save node is part of, as the host hands it to nodes."""

    prompt: Mapping[str, Any] | None = None
    extra_pnginfo: Mapping[str, Any] | None = None

    def metadata(self) -> dict[str, str]:
        """As the host's own nodes write it, for its front end to read; where the user looks at is no part of it."""
        if args.disable_metadata:
            return {}
        found = {"prompt": self.prompt, "workflow": (self.extra_pnginfo or {}).get("workflow")}
        texts = {key: json.dumps(_without_view(value)) for key, value in found.items() if value}
        if sum(map(len, texts.values())) > MOST_GRAPH:
            log.warning("The workflow is too large to be kept in the LoRA's file.")
            return {}
        return texts


def _without_view(graph: Any) -> Any:
    if not isinstance(graph, Mapping) or not isinstance(graph.get("extra"), Mapping):
        return graph
    return {**graph, "extra": {key: value for key, value in graph["extra"].items() if key != "ds"}}


def save_on_host(
    lora: Mapping[str, Tensor] | None,
    checkpoints: RunHandle | None,
    name: str,
    subfolder: str,
    which: str,
    format: str,
    dtype: str,
    picture: Tensor | None = None,
    graph: Graph | None = None,
) -> list[Path]:
    """Files written, the final one last. Either input serves; checkpoints win for "all".

    `picture` (B, height, width, 3), 0 to 1: the first becomes the thumbnail, and a file beside the LoRA.
    """
    if checkpoints is not None and not isinstance(checkpoints, RunHandle):
        raise DanluError(
            "Save LoRA: checkpoints are files below models/loras already, as Checkpoints from Folder found them. "
            "Wire checkpoints of Train LoRA (Danlu) or Load Run (Danlu)."
        )
    texts = (graph or Graph()).metadata()
    extras = {**texts, **(thumbnails(picture) if picture is not None else {})}
    request = SaveRequest(loras_folder(), name, subfolder, format, dtype, which, extras)
    if checkpoints is not None and (lora is None or which != "final"):
        paths = save_run(checkpoints, request, verify)
    elif lora is not None:
        paths = save_lora(lora, request, verify)
    else:
        raise DanluError("Save LoRA: wire the lora or the checkpoints output of a train node.")
    if picture is not None:
        cover(paths[-1], picture, texts)
    return paths
