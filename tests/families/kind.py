"""One family of the contract test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Kind:
    """One family as the contract test loads it."""

    name: str
    """Also the row of `training.families` that the trainer has to find."""
    shown: str
    config: str
    """Class of the host's `comfy.supported_models`."""
    unet: Mapping[str, Any]
    prediction: str
    latent: tuple[int, ...]
    """(channels, height, width) or (channels, frames, height, width)."""
    text: tuple[int, int]
    """Tokens, width."""
    extras: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Other tensors of the text encoder."""
    masked: bool = False
    """Its text encoder also gives an attention mask."""
    padding: int = 1
    """How many tokens at the end that mask leaves out."""
    detected: bool = True
    dead: str = ""
    """Regular expression over adapter tensors that the answer does not depend on."""
    marks: tuple[str, ...] = ()
    """Keys beside the network's by which a file says what it is ("v_pred")."""
    references: tuple[tuple[int, ...], ...] = ()
    """Latents of the pictures that an edit starts from."""
    family: str = ""
    """When another than `name`."""
    file: str = ""
    """Name of the model file, where families look at it."""
    start: bool = False
    """Conditioned on the clip's first frame."""

    @property
    def row(self) -> str:
        return self.family or self.name
