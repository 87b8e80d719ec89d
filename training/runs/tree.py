"""Nested Python values with tensors in them, as JSON beside named tensors: optimizer states and their like."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...errors import DanluError

_PLAIN = (bool, int, float, str, type(None))


def taken_apart(value: Any, tensors: dict[str, Tensor], name: str = "") -> Any:
    """`value` as JSON can hold it; its tensors go to `tensors`, as copies on the CPU, under the path they lie at.

    Dicts keep the types of their keys, tuples stay tuples, and floats come back bit for bit.
    """
    if isinstance(value, Tensor):
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, _PLAIN):
        return {"value": value}
    if isinstance(value, dict):
        return {"dict": [[key, taken_apart(item, tensors, f"{name}.{key}")] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [taken_apart(item, tensors, f"{name}.{i}") for i, item in enumerate(value)]}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if hasattr(value, "item"):
        # numpy's own scalars.
        return {"value": value.item()}
    raise DanluError(
        f"The training state holds a {type(value).__name__} at {name or 'its root'}, which cannot be kept on disk: "
        "choose another optimizer."
    )


def put_together(made: Any, tensors: dict[str, Tensor]) -> Any:
    """What `taken_apart` made it from. The tensors are those of `tensors`, not copies."""
    ((kind, content),) = made.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "value":
        return content
    if kind == "dtype":
        return getattr(torch, content)
    if kind == "dict":
        return {key: put_together(item, tensors) for key, item in content}
    items = [put_together(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items
