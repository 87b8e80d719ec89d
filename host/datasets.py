"""Loading a folder as Load Dataset says, for the node and for pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from ..dataset import known
from ..dataset.model import Dataset, FolderRequest
from ..dataset.scan import MOST_REPEATS, load_folder
from ..errors import DanluError
from .folders import dataset_roots
from .paths import system_folder

OURS = ("roots", "unpack_to")
"""Fields of a request that are no inputs of the node."""
_PLAIN = {f.name: f.default for f in fields(FolderRequest) if f.name not in (*OURS, "folder")}


def request_of(folder: str, **others: Any) -> FolderRequest:
    return FolderRequest(folder, roots=dataset_roots(), unpack_to=system_folder() / "unpacked", **others)


def checked_request(inputs: Mapping[str, Any]) -> FolderRequest:
    """Of values that no graph has looked at; raises DanluError for one of another kind. Names that the node has not are
    left out."""
    found: dict[str, Any] = {}
    for name, plain in (("folder", ""), *_PLAIN.items()):
        value = inputs.get(name, plain)
        if isinstance(plain, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not type(plain) or isinstance(value, float) and not math.isfinite(value):
            raise DanluError(f"The input '{name}' is {str(value)[:80]!r}, which it cannot be.")
        found[name] = value
    if not 1 <= found["repeats"] <= MOST_REPEATS:
        raise DanluError(f"The input 'repeats' is {found['repeats']}; it can be from 1 to {MOST_REPEATS:,}.")
    return request_of(**found)


def load(request: FolderRequest, progress: Callable[[int, int], None] | None = None) -> Dataset:
    with known.kept_in(system_folder() / "cache"):
        return load_folder(request, progress)
