"""Where a captioner's model computes, and who may take that memory back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from torch import nn


class Home(Protocol):
    """The host's memory management, or `PlainHome` where there is no host."""

    def ready(self, model: nn.Module, needed: int) -> torch.device:
        """The whole model is on the device that this gives, with `needed` bytes left for activations.

        Called before every batch: in between others may have taken the memory. Costs nothing when it is there.
        """
        ...

    def make_room(self, size: int) -> torch.device:
        """The device, with `size` bytes free: for weights that are loaded straight onto it."""
        ...

    def leave(self, model: nn.Module) -> None:
        """The model is not needed any more; the caller drops it after this."""
        ...

    def check(self) -> None:
        """Raises what the host raises when the user asked to stop; called for every token."""
        ...


class PlainHome:
    """The model stays where it is: tests and scripts."""

    def ready(self, model: nn.Module, needed: int) -> torch.device:
        return next(model.parameters()).device

    def make_room(self, size: int) -> torch.device:
        import torch

        return torch.device("cpu")

    def leave(self, model: nn.Module) -> None: ...

    def check(self) -> None: ...
