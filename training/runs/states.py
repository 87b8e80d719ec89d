"""What a stopped run goes on from: everything that the trainer's next step depends on, in one file.

<run>/states/000250.safetensors     tensors of `Trainer.state`; its other values as JSON in the metadata
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..writing import safetensors_bytes, write_atomically
from .tree import put_together, taken_apart

log = logging.getLogger(__name__)

KEEP = 2
"""How many states are kept beside the pinned ones: the newest, and one to fall back on."""


class States:
    """The states of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, step: int) -> Path:
        return self.folder / f"{step:06}.safetensors"

    def steps(self) -> list[int]:
        """Those that have a state, lowest first."""
        return sorted(int(file.stem) for file in self.folder.glob("*.safetensors"))

    def save(self, state: Mapping[str, Any]) -> None:
        """An earlier state is as it was when this fails."""
        tensors: dict[str, Tensor] = {}
        values = taken_apart(dict(state), tensors)
        write_atomically(self.path(state["step"]), safetensors_bytes(tensors, {"state": json.dumps(values)}))

    def newest(self, until: int) -> dict[str, Any] | None:
        """The newest one of step `until` or before that can be read; what cannot is told and passed over."""
        for step in reversed([step for step in self.steps() if step <= until]):
            try:
                return self.load(step)
            except (OSError, ValueError, KeyError) as error:
                log.warning("The state of step %d in %s cannot be read (%s): an older one is used.", step, self, error)
        return None

    def load(self, step: int) -> dict[str, Any]:
        """Tensors in storage of their own. Raises ValueError for a file that is no state."""
        import torch
        from safetensors import SafetensorError, safe_open

        try:
            # Nodes run in inference mode, whose tensors no optimizer can change.
            with torch.inference_mode(False), safe_open(self.path(step), framework="pt") as file:
                values = json.loads((file.metadata() or {})["state"])
                # Copies: memory-mapped tensors would keep the file open and change with it.
                tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(str(error)) from error
        return put_together(values, tensors)

    def forget_old(self, reached: int, pinned: Collection[int]) -> None:
        """Of those up to step `reached`, removes all but the newest `KEEP` and the pinned ones.

        Later ones are there when a run was asked for fewer steps again: they must not push out those on the way.
        """
        removable = [step for step in self.steps() if step <= reached and step not in pinned]
        for step in removable[:-KEEP]:
            self.path(step).unlink(missing_ok=True)

    def forget_suspicious(self, pinned: Collection[int]) -> None:
        """Removes the newest ones, as long as the losses before them were far too high."""
        for step in reversed([step for step in self.steps() if step not in pinned]):
            if not self.load(step)["watch"]["high"]:
                return
            self.path(step).unlink()

    def __str__(self) -> str:
        return str(self.folder)
