"""Randomness without a stream: every draw has its own generator, seeded by what it is for.

Row i of step s gets the same noise whatever was drawn before, so a batch equals its rows, a resumed run equals an
unstopped one, and nothing has to be saved. Generators live on the CPU: the same bits on every device.
"""

from __future__ import annotations

import hashlib

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
