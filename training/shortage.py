"""When memory runs out in the middle of a step: what was needed, and which setting to change next."""

from __future__ import annotations

import re
import traceback

import torch

from ..errors import DanluError
from .config import TrainingConfig
from .smaller import smaller

_TEXTS = ("out of memory", "can't allocate memory", "not enough memory")
"""What torch's back ends say in a plain RuntimeError: MPS and drivers, the CPU on Linux, on Windows."""


_SMALL_RANK = 16
"""Below it the optimizer's state is hardly worth saving."""


class OutOfMemory(DanluError):
    """A step needed more memory than there was. The model is as it was lent; what was saved is kept."""


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _TEXTS)


def explained(
    error: BaseException, step: int, config: TrainingConfig, reserved: int, latent: tuple[int, ...], rank: int
) -> OutOfMemory:
    """`reserved`: bytes that training had asked the host to keep free; `latent`: shape of the largest.

    Lets go of what the failed step computed: its frames hold every activation for as long as the error lives.
    """
    traceback.clear_frames(error.__traceback__)
    size = "x".join(map(str, latent[1:]))
    return OutOfMemory(
        f"Memory ran out at step {step}{_asked(str(error))}: a batch of {config.batch_size} with latents of {size} was "
        f"reckoned to need {reserved / 2**30:.1f} GB beside the model. {_next(config, rank)} "
        "The model is as it was, and every checkpoint that was saved is kept."
    )


def _asked(text: str) -> str:
    """The size that the failed request names, in the words of the back end."""
    found = re.search(r"tried to allocate ([\d.,]+ ?[KMGT]?i?B(?:ytes)?)", text, re.IGNORECASE)
    return f" (asked for {found[1]} more)" if found else ""


_COST = {
    "gradient_checkpointing": "about a third slower, less than half of that.",
    "batch_size": "the same training, in smaller pieces.",
}


def _next(config: TrainingConfig, rank: int) -> str:
    """The next step down, in words."""
    change = next((found.changes[0] for found in smaller(config)), {})
    inputs = " and ".join(f"{name} to {value}" for name, value in change.items())
    for name, cost in _COST.items():
        if name in change:
            return f"Set {inputs} in the training config: {cost}"
    if change and rank > _SMALL_RANK:
        return f"Set {inputs}, or the rank to {rank // 2}; or encode the dataset at a lower resolution."
    return "Encode the dataset at a lower resolution, or close what else uses the memory of this device."
