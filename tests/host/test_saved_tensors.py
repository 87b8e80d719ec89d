"""Autograd keeps no base weight, in no dtype and in no shape; on quantised bases gradients are still right.

A saved tensor counts as a weight when it has as many elements as some parameter of the base: that sees
transposed, flattened and cast copies too. Sizes are chosen so that no activation has such a number by chance: five
rows of 4 x 4 latents and 7 tokens for Flux, three for SD1.5, whose widths (320, 1280, ...) and token counts else
multiply to the size of a matrix or a bias; rank 5 keeps the adapters' own sizes apart from those of biases.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import comfy.ops
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

import danlu.host.model
from danlu.training.loop import Batch, Trainer

from .support import HELD, Base, gradients, largest_difference, load_path, make_trainer, run, training_data

ROWS = {"flux": 5, "sd15-narrow": 3}
CHECKPOINTING = pytest.mark.parametrize("checkpointing", ["off", "on"])


def trainer_for(base: Base, checkpointing: str = "off", targets: str = "attention+mlp") -> Trainer:
    data = training_data(base.channels, count=5, tokens=lambda _caption: 7)
    lora = {"rank": 5, "targets": targets}
    return make_trainer(base, lora, data, batch_size=ROWS[base.kind], gradient_checkpointing=checkpointing, **HELD)


def saved_tensors(trainer: Trainer) -> list[Tensor]:
    """What autograd keeps in the forward pass of one step (saved again in backward: of checkpointed blocks)."""
    found: list[Tensor] = []
    row_losses = trainer.row_losses

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    def noted_losses(batch: Batch) -> Tensor:
        with saved_tensors_hooks(note, lambda tensor: tensor):
            return row_losses(batch)

    trainer.row_losses = noted_losses  # type: ignore[method-assign]
    run(trainer)
    assert found
    return found


def weights_among(found: list[Tensor], base: Base) -> set[tuple[int, ...]]:
    """Shapes of saved tensors that are, or are as large as, a parameter of the base."""
    parameters = list(base.network.parameters())
    sizes = {parameter.numel() for parameter in parameters}
    storages = {parameter.data_ptr() for parameter in parameters}
    return {tuple(t.shape) for t in found if t.numel() in sizes or t.data_ptr() in storages}


@CHECKPOINTING
@pytest.mark.parametrize("targets", ["attention+mlp", "everything"])
def test_no_weight_is_saved(any_base: Base, checkpointing: str, targets: str) -> None:
    targets = any_base.everything if targets == "everything" else targets
    found = saved_tensors(trainer_for(any_base, checkpointing, targets))
    assert len(found) > 10
    assert weights_among(found, any_base) == set()


def test_no_weight_is_saved_in_bf16(base: Base) -> None:
    trainer = trainer_for(base)
    trainer.config = type(trainer.config)(**{**vars(trainer.config), "precision": "bf16"})
    assert weights_among(saved_tensors(trainer), base) == set()


@pytest.mark.parametrize("name", ["flux", "sd15", "fp8", "scaled"])
def test_the_search_finds_weights_that_are_saved(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    base: Base = request.getfixturevalue(f"{name}_base")
    monkeypatch.setattr(danlu.host.model, "frozen_layers", lambda _network: nullcontext())
    found = weights_among(saved_tensors(trainer_for(base)), base)
    matrices = {tuple(p.shape) for p in base.network.parameters() if p.ndim > 1}
    norms = {(128,)} if base.kind == "flux" else {(320,), (640,)}
    assert len(found & (matrices | {shape[::-1] for shape in matrices})) >= 5
    assert norms <= found


def dense(weight: Tensor) -> Tensor:
    return weight.dequantize() if isinstance(weight, comfy.ops.QuantizedTensor) else weight


def dequantised(base: Base, folder: Path) -> Base:
    """The same weights as the host computes with them, as an ordinary fp32 model."""
    state: dict[str, Tensor] = {}
    with torch.inference_mode():
        for path, module in base.network.named_modules():
            if getattr(module, "weight", None) is not None:
                like = torch.empty(0, dtype=torch.float32)
                weight, bias = comfy.ops.cast_bias_weight(module, like)
                # Left quantised by the host when the dtype is right already.
                state[f"{path}.weight"] = dense(weight).clone()
                if bias is not None:
                    state[f"{path}.bias"] = bias.clone()
    path = folder / "dequantised.safetensors"
    save_file(state, path)
    return load_path(path, base.kind, torch.float32)


@CHECKPOINTING
@pytest.mark.parametrize("name", ["fp8", "scaled"])
def test_gradients_on_quantised_bases(
    name: str, checkpointing: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    base: Base = request.getfixturevalue(f"{name}_base")
    plain = dequantised(base, tmp_path)
    settings = {"precision": "fp32", "gradient_checkpointing": checkpointing, **HELD}
    found = gradients(make_trainer(base, **settings))
    assert largest_difference(found, gradients(make_trainer(plain, **settings))) < 1e-4
