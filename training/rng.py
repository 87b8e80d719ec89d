"""Randomness without a stream: every draw has its own generator, seeded by what it is for.

Row i of step s gets the same noise whatever was drawn before, so a batch equals its rows, a resumed run equals an
unstopped one, and nothing has to be saved. Generators live on the CPU: the same bits on every device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from `parts` (sha256: stable across versions and machines)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(*parts: int | str) -> torch.Generator:
    return torch.Generator(device="cpu").manual_seed(derive_seed(*parts))


def uniform(rng: torch.Generator) -> float:
    """One number in [0, 1)."""
    return torch.rand((), generator=rng, dtype=torch.float64).item()


class GeneratorStates:
    """Torch's own generators as they are now: the CPU's, and those of other devices."""

    def __init__(self, *devices: torch.device) -> None:
        others = {(device.type, device.index) for device in devices if device.type not in ("cpu", "meta")}
        self.cpu = torch.get_rng_state()
        self.others = [(kind, index, _state(kind, index)) for kind, index in sorted(others, key=str)]

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        for kind, index, state in self.others:
            arguments = (state,) if _is_single(kind) else (state, _index(kind, index))
            getattr(torch, kind).set_rng_state(*arguments)


@contextmanager
def kept_generators(*devices: torch.device) -> Iterator[None]:
    """Whatever is drawn inside, the generators are afterwards as before."""
    before = GeneratorStates(*devices)
    try:
        yield
    finally:
        before.restore()


def _state(kind: str, index: int | None) -> Any:
    module = getattr(torch, kind)
    return module.get_rng_state() if _is_single(kind) else module.get_rng_state(_index(kind, index))


def _is_single(kind: str) -> bool:
    """Apple's devices have one generator, and no number."""
    return kind == "mps"


def _index(kind: str, index: int | None) -> int:
    return getattr(torch, kind).current_device() if index is None else index
