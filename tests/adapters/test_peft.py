"""The same numbers as peft's own layers around the base layer, given the same parameters."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model
from torch import Tensor, nn

from danlu.training.adapters import Adapter, AdapterSet

from .layers import adapter_for, config_of, input_of, layer_of

RANK, ALPHA = 3, 1.5


def around(layer: nn.Module, config: Any) -> tuple[nn.Module, Any]:
    """peft's model around `layer`, and its layer."""
    model = get_peft_model(nn.Sequential(layer), config).eval()
    return model, model.base_model.model.get_submodule("0")


def ours(kind: str, algorithm: str) -> tuple[Adapter, Tensor]:
    layer = layer_of(kind)
    adapter = adapter_for(layer, config_of(algorithm, rank=RANK, alpha=ALPHA))
    network = nn.Sequential(layer)
    with AdapterSet({"0": adapter}).attached(network):
        return adapter, network(input_of(kind))


@pytest.mark.parametrize("kind", ["linear", "conv", "point"])
@pytest.mark.parametrize("algorithm", ["lora", "rslora", "dora"])
def test_lora(algorithm: str, kind: str) -> None:
    adapter, found = ours(kind, algorithm)
    settings = LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,  # type: ignore[arg-type]
        target_modules=["0"],
        use_rslora=algorithm == "rslora",
        use_dora=algorithm == "dora",
    )
    model, theirs = around(layer_of(kind), settings)
    theirs.lora_A["default"].weight.data.copy_(adapter.down.weight)
    theirs.lora_B["default"].weight.data.copy_(adapter.up.weight)
    if algorithm == "dora":
        magnitude = theirs.lora_magnitude_vector["default"].weight
        magnitude.data.copy_(adapter.magnitude.view(magnitude.shape))
    torch.testing.assert_close(found, model(input_of(kind)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["linear", "conv", "point"])
@pytest.mark.parametrize(("algorithm", "kind_of_config"), [("loha", LoHaConfig), ("lokr", LoKrConfig)])
def test_lycoris(algorithm: str, kind_of_config: Any, kind: str) -> None:
    adapter, found = ours(kind, algorithm)
    model, theirs = around(layer_of(kind), kind_of_config(r=RANK, alpha=ALPHA, target_modules=["0"]))
    for name, parameter in adapter.named_parameters():
        getattr(theirs, name)["default"].data.copy_(parameter)
    torch.testing.assert_close(found, model(input_of(kind)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("algorithm", "share"), [("pissa", 0.5), ("olora", 1.0)])
def test_start_from_the_weight(algorithm: str, share: float) -> None:
    # Of full rank both hold the whole weight, PiSSA's with its scale of 1/2: the start is exact.
    layer = nn.Linear(4, 4, bias=False)
    adapter = adapter_for(layer, config_of(algorithm, rank=4, alpha=2.0), moved=False)
    torch.testing.assert_close(adapter.up.weight @ adapter.down.weight * share, layer.weight, rtol=1e-4, atol=1e-5)
    settings = LoraConfig(r=4, lora_alpha=2, target_modules=["0"], init_lora_weights=algorithm)
    _, theirs = around(layer, settings)
    product = theirs.lora_B["default"].weight @ theirs.lora_A["default"].weight
    torch.testing.assert_close(adapter.up.weight @ adapter.down.weight, product, rtol=1e-4, atol=1e-5)


def test_pissa_takes_the_largest_directions() -> None:
    left, right = torch.linalg.qr(torch.randn(20, 20))[0], torch.linalg.qr(torch.randn(12, 12))[0]
    values = torch.tensor([9.0, 7.0, 5.0, *[0.1] * 9])
    layer = nn.Linear(12, 20)
    layer.weight.data = left[:, :12] @ torch.diag(values) @ right
    adapter = adapter_for(layer, config_of("pissa", rank=3, alpha=3.0), moved=False)
    expected = left[:, :3] @ torch.diag(values[:3]) @ right[:3]
    torch.testing.assert_close(adapter.up_start @ adapter.down_start, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rank", [2, 5])
@pytest.mark.parametrize("layer", [nn.Linear(40, 30), nn.Conv2d(12, 30, 3, padding=1)])
def test_loha_of_both_ways_to_multiply(layer: nn.Module, rank: int) -> None:
    """A small rank is multiplied in factors, a large one as a full matrix."""
    adapter = adapter_for(layer, config_of("loha", rank=rank, alpha=1.0))
    assert adapter._is_thin() == (rank == 2)
    x = torch.randn(2, 40) if isinstance(layer, nn.Linear) else torch.randn(2, 12, 5, 5)
    first, second = (getattr(adapter, f"hada_w{i}_a") @ getattr(adapter, f"hada_w{i}_b") for i in (1, 2))
    expected = adapter.geometry.run(x, first * second / rank)
    torch.testing.assert_close(adapter(x), expected, rtol=1e-4, atol=1e-5)
    found = torch.autograd.grad(adapter(x).tanh().sum(), list(adapter.parameters()))
    wanted = torch.autograd.grad(expected.tanh().sum(), list(adapter.parameters()))
    for gradient, plain in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient, plain, rtol=1e-3, atol=1e-4)
