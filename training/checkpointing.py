"""Gradient checkpointing that stays right where blocks change their inputs in place.

`torch.utils.checkpoint` recomputes on detached tensors and so loses the version check that guards autograd
against in-place changes: on Flux-like blocks (`x += ...`) it returns wrong gradients without a word. Here a block
runs on copies of its inputs, and its recomputation has a plain backward with that check; a block that fails it runs
under `allow_mutation_on_saved_tensors`.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.graph import allow_mutation_on_saved_tensors

from .rng import GeneratorStates, kept_generators

Run = Callable[[Sequence[Tensor]], tuple[Tensor, ...]]

IN_PLACE = "modified by an inplace operation"
"""What autograd says of a model that changes tensors which it keeps."""


class _Block:
    """What is known of a block from one step to the next."""

    mutates = False
    """Whether it changes tensors that autograd keeps: then they are copied, which slows every operation down."""


class _RandomState:
    """Torch's generators as they are now: adapter dropout has to draw the same once more."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.devices = {t.device for t in tensors}
        self.states = GeneratorStates(*self.devices)

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        with kept_generators(*self.devices):
            self.states.restore()
            yield


class _Checkpoint(torch.autograd.Function):
    """Keeps a block's inputs instead of its activations."""

    @staticmethod
    def forward(
        ctx: Any, block: _Block, run: Run, random: _RandomState, inputs: int, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.block, ctx.run, ctx.inputs, ctx.random = block, run, inputs, random
        ctx.save_for_backward(*tensors[:inputs])
        ctx.parameters = tensors[inputs:]
        # The block may change its inputs: it gets copies, and what is kept stays as it was.
        return run([t.clone() for t in tensors[:inputs]])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs = [t.detach().requires_grad_(t.is_floating_point()) for t in ctx.saved_tensors]
        try:
            found = _gradients(ctx, inputs, grads)
        except RuntimeError as error:
            if ctx.block.mutates or IN_PLACE not in str(error):
                raise
            ctx.block.mutates = True
            found = _gradients(ctx, inputs, grads)
        of_inputs = iter(found)
        count = sum(t.requires_grad for t in inputs)
        return (
            *(None,) * 4,
            *(next(of_inputs) if t.requires_grad else None for t in inputs),
            *found[count:],
        )


def _gradients(ctx: Any, inputs: Sequence[Tensor], grads: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    """Runs the block again; gradients of the inputs that have one, then of its adapters' parameters."""
    copying = mutation_allowed() if ctx.block.mutates else contextlib.nullcontext()
    with torch.enable_grad(), copying, ctx.random.restored():
        # A leaf that requires grad cannot be changed in place: the block gets a copy of it.
        outputs = ctx.run([t.clone() for t in inputs])
        pairs = [(o, g) for o, g in zip(outputs, grads, strict=True) if g is not None and o.requires_grad]
        wanted = [t for t in inputs if t.requires_grad]
        return torch.autograd.grad(
            [o for o, _ in pairs], [*wanted, *ctx.parameters], [g for _, g in pairs], allow_unused=True
        )


@contextlib.contextmanager
def mutation_allowed() -> Iterator[None]:
    """`allow_mutation_on_saved_tensors`, entered only when it is not active, by torch's own word.

    It cannot be nested: the attempt raises, and leaves the outer one switched off.
    """
    if torch.autograd.graph._allow_mutation_on_saved_tensors_enabled:
        yield
        return
    with allow_mutation_on_saved_tensors() as context:
        context.original = _Originals(context.tid_to_weakhandle)
        yield


class _Originals(WeakKeyDictionary):  # type: ignore[type-arg]
    """Saved tensors that have not been changed yet, of torch's context: it knows them by id, address and version.

    torch keeps a copy of a tensor that is about to be changed, and lets the tensor itself go. Another one may then be
    born with its id, at its address, and be saved: torch would take the copy for it, and compute with the wrong
    values. So the mark goes with the tensor.
    """

    def __init__(self, handles: MutableMapping[Any, Any]):
        super().__init__()
        self._handles = handles

    def __delitem__(self, handle: Any) -> None:
        self._handles.pop(torch.autograd.graph._get_tid(self[handle]), None)
        super().__delitem__(handle)


class _Hole:
    """Stands where a tensor was."""


def _rebuilt(value: Any, change: Callable[[Any], Any]) -> Any:
    """`value` with its tensors and holes changed: containers of them are new ones, everything else is shared."""
    if isinstance(value, (Tensor, _Hole)):
        return change(value)
    if isinstance(value, dict):
        return {key: _rebuilt(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_rebuilt(item, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if is_dataclass(value) and not isinstance(value, type):
        copied = copy.copy(value)
        for item in fields(value):
            object.__setattr__(copied, item.name, _rebuilt(getattr(value, item.name), change))
        return copied
    return value


def _taken_apart(value: Any) -> tuple[Any, list[Tensor]]:
    """`value` as it is now, with holes for its tensors, and the tensors."""
    found: list[Tensor] = []

    def take(tensor: Tensor) -> _Hole:
        found.append(tensor)
        return _Hole()

    return _rebuilt(value, take), found


def _checkpointed(
    forward: Callable[..., Any], parameters: Sequence[nn.Parameter]
) -> Callable[..., Tensor | tuple[Tensor, ...]]:
    block = _Block()

    def wrapped(*args: Any, **kwargs: Any) -> Tensor | tuple[Tensor, ...]:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        # Models go on writing to the options that they pass to every block.
        given, inputs = _taken_apart((args, kwargs))
        single: list[bool] = []

        def run(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
            remaining = iter(tensors)
            filled_args, filled_kwargs = _rebuilt(given, lambda _hole: next(remaining))
            out = forward(*filled_args, **filled_kwargs)
            single.append(isinstance(out, Tensor))
            return (out,) if isinstance(out, Tensor) else tuple(out)

        out = _Checkpoint.apply(block, run, _RandomState(inputs), len(inputs), *inputs, *parameters)
        return out[0] if single[0] else out

    return wrapped


def blocks_of(network: nn.Module) -> dict[str, nn.Module]:
    """The repeated blocks worth checkpointing: members of a `ModuleList` that are called as modules.

    UNets keep containers in their lists (the host walks through their children): there, the residual and
    transformer blocks inside are taken.
    """
    found: dict[str, nn.Module] = {}
    for name, module in network.named_modules():
        if any(name.startswith(f"{outer}.") for outer in found):
            continue
        if _is_block(module):
            found[name] = module
    return found


def _is_block(module: nn.Module) -> bool:
    kind = type(module).__name__
    return "Block" in kind and not isinstance(module, (nn.Sequential, nn.ModuleList))


@contextlib.contextmanager
def checkpointed(
    network: nn.Module, adapters: dict[str, nn.Module], blocks: dict[str, nn.Module] | None = None
) -> Iterator[None]:
    """Checkpoints every block of `network` for the time of the context.

    `adapters`: path of a layer -> its adapter; a block's gradient function has to know the adapters inside it.
    """
    blocks = blocks_of(network) if blocks is None else blocks
    before = {name: block.__dict__.get("forward") for name, block in blocks.items()}
    try:
        for name, block in blocks.items():
            inside = [p for path, a in adapters.items() if path.startswith(f"{name}.") for p in a.parameters()]
            block.forward = _checkpointed(block.forward, inside)  # type: ignore[method-assign]
        yield
    finally:
        for name, block in blocks.items():
            if before[name] is None:
                block.__dict__.pop("forward", None)
            else:
                block.forward = before[name]  # type: ignore[method-assign]
