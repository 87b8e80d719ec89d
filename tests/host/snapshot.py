"""What a loaded model looks like from outside: enough to see any change that training may have left in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Any

import comfy.model_management
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from .support import Base

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
)


@dataclass(frozen=True)
class Snapshot:
    tree: list[tuple[str, type]]
    """Names and classes of all modules, in order."""
    own_forwards: list[str]
    """Modules whose `forward` is not their class's."""
    attributes: dict[str, list[str]]
    """Names in every module's `__dict__`."""
    hooks: dict[str, int]
    objects: dict[str, int]
    """Identity of every parameter and buffer."""
    pointers: dict[str, int]
    """Where their bytes lie."""
    flags: dict[str, tuple[Any, ...]]
    """Class, requires_grad, gradient, inference tensor or not."""
    content: dict[str, str]
    """Hash of every entry of the state dict."""
    globals: tuple[Any, ...]

    def differences(self, other: Snapshot, *, but: frozenset[str] = frozenset()) -> list[str]:
        """Names of the fields that differ."""
        names = [field.name for field in fields(self) if field.name not in but]
        return [name for name in names if getattr(self, name) != getattr(other, name)]


def snapshot(base: Base) -> Snapshot:
    model = base.patcher.model
    modules = list(model.named_modules())
    tensors = {
        f"{path}.{name}": tensor
        for path, module in modules
        for table in (module._parameters, module._buffers)
        for name, tensor in table.items()
        if tensor is not None
    }
    return Snapshot(
        tree=[(path, type(module)) for path, module in modules],
        own_forwards=[path for path, module in modules if "forward" in module.__dict__],
        attributes={path: sorted(module.__dict__) for path, module in modules},
        hooks={f"{path}.{kind}": len(getattr(module, kind)) for path, module in modules for kind in _HOOKS},
        objects={name: id(tensor) for name, tensor in tensors.items()},
        pointers={name: tensor.data_ptr() for name, tensor in tensors.items()},
        flags={name: _flags(tensor) for name, tensor in tensors.items()},
        content={key: digest(tensor) for key, tensor in model.state_dict().items()},
        globals=_globals(model),
    )


def _flags(tensor: Tensor) -> tuple[Any, ...]:
    return type(tensor), tensor.requires_grad, tensor.grad is None, tensor.is_inference(), tensor.dtype


def _globals(model: nn.Module) -> tuple[Any, ...]:
    return (
        comfy.model_management.in_training,
        model.manual_cast_dtype,
        model.training,
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        len(_get_current_dispatch_mode_stack()),
        torch.autograd.graph._allow_mutation_on_saved_tensors_enabled,
    )


def digest(tensor: Tensor) -> str:
    raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.blake2b(raw.numpy(), digest_size=16).hexdigest()
