"""In how many bits a large captioner's weights are kept: what is asked for, or what fits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..errors import DanluError

WHOLE = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
PRECISIONS = ("auto", *WHOLE, "fp8", "8-bit", "4-bit")
"""Names are for ever: workflows hold them."""
BYTES = {"bf16": 2.0, "fp16": 2.0, "fp32": 4.0, "fp8": 1.0, "8-bit": 1.0, "4-bit": 0.52}
"""Of a weight of the language model's layers, scales included; with the last three all others take 16 bits."""
LAYER = re.compile(r"(^|\.)language_model\.(model\.)?layers\.\d+\..*_proj\.weight$")
"""The linear layers of the language model, in new and old files."""


@dataclass(frozen=True)
class Room:
    """What the device that captions are written on has to give."""

    device: str = "cpu"
    """Its type, as torch calls it."""
    free: int = 0
    """Bytes, those included that other models would give back."""
    compute: str = "fp32"
    """What it computes well in: bf16, fp16 or fp32."""


@dataclass(frozen=True)
class Precision:
    name: str
    """One of `PRECISIONS`, auto resolved."""
    dtype: str
    """torch's name for the type of activations and of weights that are not quantised."""
    note: str = ""
    """For people: why, with numbers."""


@dataclass(frozen=True)
class Size:
    weights: int
    layers: int
    """Those of them that can be quantised."""

    def bytes(self, name: str) -> int:
        others = BYTES[name] if name in WHOLE else 2.0
        return round(self.layers * BYTES[name] + (self.weights - self.layers) * others)


def choose_precision(wanted: str, size: Size, room: Room, activations: int) -> Precision:
    """`activations`: bytes besides the weights. Raises DanluError for what cannot be had here."""
    if wanted not in PRECISIONS:
        raise DanluError(f"The input 'precision' is {wanted!r}; it can be one of {', '.join(PRECISIONS)}.")
    if wanted != "auto":
        return _asked(wanted, size, room)
    compute = room.compute if room.compute in WHOLE else "fp32"
    names = [compute, "bf16"] if room.device == "cpu" else [compute, *_smaller(room.device)]
    fits = [name for name in names if size.bytes(name) + activations <= room.free]
    name = fits[0] if fits else min(names, key=size.bytes)
    note = f"{name}: {_gb(size.bytes(name))} of weights, {_gb(room.free)} of memory to be had"
    if not fits:
        note += f". That may not be enough{'' if '4-bit' in names else _HINT}"
    elif name != names[0]:
        note += f" ({names[0]} would take {_gb(size.bytes(names[0]))})"
    return Precision(name, _dtype(name, room), note)


_HINT = "; with the package bitsandbytes installed it could be loaded in 4 bits"


def model_size(files: Iterable[Path]) -> Size:
    """Counted from the headers of .safetensors files."""
    weights = layers = 0
    for path in files:
        for name, shape in _shapes(path):
            count = 1
            for side in shape:
                count *= side
            weights += count
            layers += count if LAYER.search(name) else 0
    return Size(weights, layers)


def _shapes(path: Path) -> Iterable[tuple[str, list[int]]]:
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return [(name, entry["shape"]) for name, entry in header.items() if name != "__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise DanluError(f"{path} is no whole .safetensors file. Download it again.") from error


def _asked(name: str, size: Size, room: Room) -> Precision:
    if name in ("8-bit", "4-bit") and not has_bitsandbytes():
        raise DanluError(
            f"The input 'precision' is {name}, which needs the package bitsandbytes: pip install bitsandbytes, in "
            "ComfyUI's Python. fp8 needs no package and takes as much as 8-bit."
        )
    if name == "fp8" and room.device not in ("cuda", "cpu"):
        raise DanluError(f"The input 'precision' is fp8, which {room.device} devices do not know. Choose fp16 or bf16.")
    return Precision(name, _dtype(name, room), f"{name}: {_gb(size.bytes(name))} of weights")


def has_bitsandbytes() -> bool:
    return find_spec("bitsandbytes") is not None


def _smaller(device: str) -> list[str]:
    if device != "cuda":
        return []
    return ["fp8", "4-bit"] if has_bitsandbytes() else ["fp8"]


def _dtype(name: str, room: Room) -> str:
    return WHOLE[name] if name in WHOLE else WHOLE[room.compute]


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
