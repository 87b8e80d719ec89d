"""Hashes that are alike for pictures that look alike.

The 64 signs of the lowest 8 x 8 frequencies of a 32 x 32 grey picture, relative to their median: "pHash" (Zauner,
Implementation and Benchmarking of Perceptual Image Hash Functions, 2010).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE, LOW = 32, 8
BITS = LOW * LOW
THUMB = 16
"""Side of the small copies that pictures with like hashes are compared by."""


def _cosines() -> NDArray[np.float32]:
    """(LOW, SIDE): the lowest rows of the discrete cosine transform."""
    places = (np.arange(SIDE) + 0.5) * np.pi / SIDE
    return np.cos(np.arange(LOW)[:, None] * places[None, :]).astype(np.float32)


_COSINES = _cosines()


def perceptual_hash(grey: NDArray[np.float32]) -> int:
    """64 bits for (32, 32)."""
    low = (_COSINES @ grey @ _COSINES.T).ravel()
    low[0] = 0.0  # the mean brightness says nothing of the shape
    bits = low > np.median(low[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def differing_bits(value: int, hashes: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Of one hash and each of others (n,)."""
    bits = np.uint64(value) ^ hashes
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(bits)
    # numpy 1: counted by bytes
    return _COUNTS[bits.view(np.uint8).reshape(len(bits), 8)].sum(axis=1, dtype=np.uint8)


_COUNTS = np.array([value.bit_count() for value in range(256)], dtype=np.uint8)
