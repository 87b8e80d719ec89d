"""Memory runs out in the middle of a step."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from danlu.training.loop import StepLog, Trainer
from danlu.training.shortage import OutOfMemory, is_out_of_memory

from .test_loop import trainer
from .toys import ToyModel

CUDA = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 8.00 GiB"


class Full:
    """A layer's forward hook that runs out of memory at its fourth call, in step 3: its first is made twice."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.calls = 0
        self.activations: list[weakref.ref[Tensor]] = []

    def __call__(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        activation = output * 2
        self.calls += 1
        if self.calls == 4:
            self.activations.append(weakref.ref(activation))
            raise self.error


def failing(error: Exception, **settings: Any) -> tuple[Trainer, Full, list[StepLog], str]:
    """The trainer after running out of memory at step 3, and what it said."""
    model, full = ToyModel(), Full(error)
    log: list[StepLog] = []
    made = trainer(model, on_step=log.append, **settings)
    handle = model.network.text_in.register_forward_hook(full)  # type: ignore[union-attr]
    with torch.inference_mode(), pytest.raises(OutOfMemory) as raised:
        made.run(5)
    handle.remove()
    return made, full, log, str(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError(CUDA),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_training_stops_with_what_to_do(error: Exception) -> None:
    made, _, log, text = failing(error)
    assert [entry.step for entry in log] == [1, 2]
    assert "at step 3" in text and "gradient_checkpointing to on" in text and "GB beside the model" in text
    assert made.model.network.text_in._forward_hooks == {}  # type: ignore[union-attr]
    assert all(parameter.grad is None for parameter in made.parameters)


def test_what_was_asked_for_is_named() -> None:
    assert "(asked for 2.50 GiB more)" in failing(torch.cuda.OutOfMemoryError(CUDA))[3]


def test_each_setting_leads_to_the_next() -> None:
    error = torch.cuda.OutOfMemoryError(CUDA)
    batch = failing(error, gradient_checkpointing="on", batch_size=4)[3]
    assert "batch_size to 2 and gradient_accumulation to 2" in batch
    odd = failing(error, gradient_checkpointing="on", batch_size=5)[3]
    assert "batch_size to 1 and gradient_accumulation to 5" in odd, "as many rows in a step as before"
    ranked = failing(error, gradient_checkpointing="on", batch_size=1, lora={"rank": 32})[3]
    assert "optimizer to adamw8bit, or the rank to 16" in ranked
    last = failing(error, gradient_checkpointing="on", batch_size=1)[3]
    assert "lower resolution" in last and "batch_size to" not in last


def test_what_the_step_computed_is_let_go() -> None:
    full = failing(torch.cuda.OutOfMemoryError(CUDA))[1]
    full.error = RuntimeError("nothing holds the first one")
    gc.collect()
    assert [activation() for activation in full.activations] == [None]


def test_other_errors_are_no_shortage() -> None:
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    model = ToyModel()
    made = trainer(model)
    model.network.text_in.register_forward_hook(Full(ValueError("wrong")))  # type: ignore[union-attr]
    with torch.inference_mode(), pytest.raises(ValueError, match="wrong"):
        made.run(5)
