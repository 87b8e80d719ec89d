"""Gradients stay right where a layer's weight is borrowed: given back after its call, overwritten by the next.

That is what the host does on CUDA, by default and when it offloads. Here one buffer in plain memory serves all
layers; it is written behind torch's back, as a copy engine does, so that no version counter tells.
"""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from typing import Any

import comfy.ops
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import danlu.host.model
from danlu.training.loop import StepLog
from danlu.training.measure import dry_step

from ..factory import flux_network, random_weights
from .support import HELD, Base, gradients, largest_difference, load_path, make_trainer, run

Lent = tuple[Tensor, Tensor | None, Any]


class Lender:
    """Stands in for `cast_bias_weight` and `uncast_bias_weight`: every weight is a view of one buffer.

    Some attention layers hold the weights of two norms at once: the second loan gets the next buffer.
    """

    def __init__(self, poison: bool, inference: bool) -> None:
        self.inference = inference
        """As pages are that the host filled while it sampled."""
        self.cast, self.uncast = comfy.ops.cast_bias_weight, comfy.ops.uncast_bias_weight
        self.poison = poison
        self.pages: dict[tuple[torch.dtype, int], np.ndarray] = {}
        self.open: set[tuple[torch.dtype, int]] = set()
        self.loans = 0

    def lend(self, module: Any, input: Tensor | None = None, *args: Any, **kwargs: Any) -> Lent:
        self.loans += 1
        weight, bias, stream = self.cast(module, input, *args, **{**kwargs, "offloadable": True})
        page = self._free_page(weight.dtype)
        lent = self._write(page, 0, weight)
        return lent, None if bias is None else self._write(page, weight.numel(), bias), stream

    def take_back(self, module: Any, weight: Tensor | None, bias: Tensor | None, stream: Any) -> None:
        for place in [p for p in self.open if weight is not None and weight.data_ptr() == self.pages[p].ctypes.data]:
            self.open.remove(place)
            if self.poison:
                self.pages[place].fill(np.nan)
        self.uncast(module, weight, bias, stream)

    def _free_page(self, dtype: torch.dtype) -> np.ndarray:
        place = next(p for p in ((dtype, i) for i in itertools.count()) if p not in self.open)
        self.open.add(place)
        if place not in self.pages:
            self.pages[place] = np.zeros(4_000_000, dtype=str(dtype).removeprefix("torch."))
        return self.pages[place]

    def _write(self, page: np.ndarray, start: int, tensor: Tensor) -> Tensor:
        end = start + tensor.numel()
        page[start:end] = tensor.detach().cpu().contiguous().numpy().reshape(-1)
        # A tensor of its own each time: no version counter is shared.
        with torch.inference_mode(self.inference):
            return torch.from_numpy(page)[start:end].view(tensor.shape)


@pytest.fixture(params=[False, True], ids=["overwritten", "poisoned"])
def lender(request: pytest.FixtureRequest) -> Lender:
    return Lender(poison=request.param, inference=True)


def install(lender: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comfy.ops, "cast_bias_weight", lender.lend)
    monkeypatch.setattr(comfy.ops, "uncast_bias_weight", lender.take_back)
    # Such weights do not lie where the layer computes.
    monkeypatch.setattr("danlu.host.weights.is_resident", lambda *_: False)
    monkeypatch.setattr("danlu.host.frozen.is_resident", lambda *_: False)


@pytest.mark.parametrize("checkpointing", ["off", "on"])
@pytest.mark.parametrize("name", ["flux", "sd15", "fp8"])
def test_gradients_are_the_same_bits(
    name: str,
    checkpointing: str,
    lender: Lender,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base: Base = request.getfixturevalue(f"{name}_base")
    settings = {"gradient_checkpointing": checkpointing, **HELD}
    expected = gradients(make_trainer(base, {"targets": base.everything}, **settings))
    install(lender, monkeypatch)
    found = gradients(make_trainer(base, {"targets": base.everything}, **settings))
    assert lender.loans > len(found)
    assert all(torch.equal(found[tensor], expected[tensor]) for tensor in expected)


def test_a_plain_backward_would_be_wrong(fp8_base: Base, lender: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    lender.inference = False
    expected = gradients(make_trainer(fp8_base, **HELD))
    monkeypatch.setattr(danlu.host.model, "frozen_layers", lambda _network: nullcontext())
    # Not the lending, but the plain backward is what goes wrong.
    assert largest_difference(gradients(make_trainer(fp8_base, **HELD)), expected) < 1e-5
    install(lender, monkeypatch)
    monkeypatch.setattr("danlu.training.loop.check_finite", lambda *_arguments: None)
    found = gradients(make_trainer(fp8_base, **HELD))
    wrong = [name for name in expected if not torch.allclose(found[name], expected[name], rtol=0.1, atol=0.0)]
    assert len(wrong) > len(expected) // 2


def test_what_the_host_notes_on_a_weight_is_there_while_it_is_lent(flux_base: Base) -> None:
    # Its DynamicVRAM reads there the dtype of a weight's page, and the place in the file that it comes from.
    weight = flux_base.network.img_in.weight
    weight._model_dtype = torch.bfloat16
    weight.untyped_storage()._comfy_tensor_file_slice = "a place in a file"
    seen: list[tuple[Any, ...]] = []

    def look(_log: StepLog) -> None:
        lent = flux_base.network.img_in.weight
        seen.append((lent is weight, lent._model_dtype, lent.untyped_storage()._comfy_tensor_file_slice))

    try:
        run(make_trainer(flux_base, on_step=look))
    finally:
        del weight._model_dtype, weight.untyped_storage()._comfy_tensor_file_slice
    assert seen == [(False, torch.bfloat16, "a place in a file")]


DEEPER = 8
"""Blocks that the deep model has more."""


@pytest.fixture(scope="module", params=[torch.float32, torch.float8_e4m3fn], ids=["fp32", "fp8"])
def depths(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Base, Base]:
    """The same model, shallow and deep."""
    found = []
    for blocks in (1, 1 + DEEPER):
        path = tmp_path_factory.mktemp("depths") / "flux.safetensors"
        save_file(random_weights(flux_network(depth_single_blocks=blocks), 0), path)
        found.append(load_path(path, "flux", request.param))
        path.unlink()
    return found[0], found[1]


def growth(depths: tuple[Base, Base], checkpointing: str) -> float:
    """What one block more adds to the memory of a step, in units of its weights in fp32; the adapters are the same."""
    lora = {"include": "double_blocks"}
    shallow, deep = (make_trainer(base, lora, gradient_checkpointing=checkpointing, **HELD) for base in depths)
    assert shallow.adapters.adapters.keys() == deep.adapters.adapters.keys()
    with torch.inference_mode():
        added = dry_step(deep).peak - dry_step(shallow).peak
    weights = sum(parameter.numel() for parameter in depths[0].network.single_blocks[0].parameters())
    return added / DEEPER / (4 * weights)


@pytest.mark.parametrize(("checkpointing", "most"), [("off", 0.05), ("on", 0.005)])
def test_memory_does_not_grow_with_the_base(
    depths: tuple[Base, Base], checkpointing: str, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block more costs its activations (here of nine tokens), or with checkpointing its input."""
    install(Lender(poison=True, inference=True), monkeypatch)
    assert 0 <= growth(depths, checkpointing) < most


def test_with_a_plain_backward_it_would(depths: tuple[Base, Base], monkeypatch: pytest.MonkeyPatch) -> None:
    if depths[0].network.img_in.weight.dtype == torch.float32:
        return  # No copies: a plain backward keeps the base's own weights.
    monkeypatch.setattr(danlu.host.model, "frozen_layers", lambda _network: nullcontext())
    assert growth(depths, "off") > 0.9
