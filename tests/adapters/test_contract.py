"""What every algorithm has to do, on every kind of layer."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from danlu.errors import DanluError
from danlu.training.adapters import Adapter, AdapterSet

from .layers import ALGORITHMS, LAYERS, adapter_for, changed, config_of, input_of, layer_of, lend

each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
each_layer = pytest.mark.parametrize("kind", LAYERS)


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def answer(layer: nn.Module, adapter: Adapter, x: Tensor) -> Tensor:
    """Of the layer with the adapter beside it."""
    network = nn.Sequential(layer)
    with AdapterSet({"0": adapter}).attached(network):
        return network(x)


def answer_of_weight(layer: nn.Module, weight: Tensor, x: Tensor) -> Tensor:
    kept = layer.weight
    layer.weight = nn.Parameter(weight, requires_grad=False)
    try:
        return layer(x)
    finally:
        layer.weight = kept


@each_algorithm
@each_layer
def test_a_new_adapter_changes_nothing_and_can_learn(algorithm: str, kind: str) -> None:
    layer, x = layer_of(kind), input_of(kind)
    adapter = adapter_for(layer, config_of(algorithm), moved=False)
    torch.testing.assert_close(answer(layer, adapter, x), layer(x), rtol=1e-5, atol=1e-5)
    found = answer(layer, adapter, x)
    # Not the sum of squares, which no rotation changes.
    (found * torch.linspace(0, 1, found.numel()).view(found.shape)).sum().backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in adapter.parameters())
    assert all(parameter.dtype == torch.float32 and parameter.requires_grad for parameter in adapter.parameters())


@each_algorithm
@each_layer
def test_the_file_means_what_the_live_adapter_does(algorithm: str, kind: str) -> None:
    layer, x = layer_of(kind, torch.float64), input_of(kind, torch.float64)
    adapter = adapter_for(layer, config_of(algorithm), torch.float64)
    tensors = {key: tensor.double() for key, tensor in adapter.file_tensors().items()}
    live, plain = answer(layer, adapter, x), layer(x)
    expected = answer_of_weight(layer, changed(tensors, layer.weight), x)
    assert (live - plain).norm() > 0.01 * plain.norm()
    torch.testing.assert_close(live, expected, rtol=1e-6, atol=1e-6)


@each_algorithm
@each_layer
def test_gradients_of_every_tensor_agree_with_finite_differences(algorithm: str, kind: str) -> None:
    layer, x = layer_of(kind, torch.float64), input_of(kind, torch.float64)[:1].requires_grad_()
    adapter = adapter_for(layer, config_of(algorithm), torch.float64)
    direction = torch.randn(layer(x).shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def loss(*_tensors: Tensor) -> Tensor:
        return (answer(layer, adapter, x).tanh() * direction).sum()

    names, parameters = zip(*adapter.named_parameters(), strict=True)
    found = torch.autograd.grad(loss(), [x, *parameters])
    for name, tensor, gradient in zip(("x", *names), (x, *parameters), found, strict=True):
        assert gradient.any(), name
        across = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        with torch.no_grad():
            tensor += 1e-6 * across
            above = loss()
            tensor -= 2e-6 * across
            below = loss()
            tensor += 1e-6 * across
        difference = float((above - below) / 2e-6)
        assert difference == pytest.approx(float((gradient * across).sum()), rel=1e-4, abs=1e-7), name


@each_algorithm
def test_no_weight_is_kept_for_backward(algorithm: str) -> None:
    layer = nn.Linear(40, 50).requires_grad_(False)
    adapter = adapter_for(layer, config_of(algorithm))
    x = torch.randn(2, 40, requires_grad=True)
    found: list[Tensor] = []
    plain = layer(x)
    with saved_tensors_hooks(lambda t: found.append(t) or t, lambda t: t):  # type: ignore[func-returns-value]
        output = adapter.adapted(x, plain)
    output.sum().backward()
    held = [*found, *adapter.parameters(), *adapter.buffers()]
    assert not [t.shape for t in held if t.numel() == layer.weight.numel()]
    assert not [t for t in vars(adapter).values() if isinstance(t, nn.Parameter)]


@each_algorithm
@pytest.mark.parametrize("kind", ["linear", "conv"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_adapters_compute_in_fp32_whatever_the_layer_is(algorithm: str, kind: str, dtype: torch.dtype) -> None:
    layer, x = layer_of(kind, dtype), input_of(kind, dtype)
    adapter = adapter_for(layer, config_of(algorithm))
    assert {p.dtype for p in [*adapter.parameters(), *adapter.buffers()]} == {torch.float32}
    found = answer(layer, adapter, x)
    assert found.dtype == dtype
    exact = layer_of(kind, torch.float64)
    torch.testing.assert_close(found.double(), answer(exact, adapter, x.double()), rtol=0.05, atol=0.05)


@each_algorithm
def test_alpha_scales(algorithm: str) -> None:
    if algorithm == "oft":
        with pytest.raises(DanluError, match="neither an alpha"):
            adapter_for(layer_of("linear"), replace(config_of("oft"), alpha=1.0))
        return
    layer, x = layer_of("linear"), input_of("linear")
    once, twice = (adapter_for(layer, config_of(algorithm, alpha=alpha), seed=1) for alpha in (1.0, 2.0))
    if algorithm in ("pissa", "olora"):
        # Their start depends on the scale: the same factors are put into both.
        twice.load_state_dict(once.state_dict())
    factor = 3**0.5 if algorithm == "rslora" else 3
    tensors = once.file_tensors()
    torch.testing.assert_close(twice(x), 2 * once(x))
    if algorithm in ("lora", "rslora"):
        dense = tensors["lora_up.weight"] @ tensors["lora_down.weight"]
        torch.testing.assert_close(once(x), x @ dense.T / factor)


@each_algorithm
def test_rank_decides_the_size(algorithm: str) -> None:
    layer = nn.Linear(48, 64)
    counts = [
        sum(p.numel() for p in adapter_for(layer, config_of(algorithm, rank=rank)).parameters()) for rank in (2, 4)
    ]
    assert counts[0] < counts[1]


@each_algorithm
def test_dropout(algorithm: str) -> None:
    layer, x = layer_of("linear"), input_of("linear")
    if algorithm == "oft":
        with pytest.raises(DanluError, match="nor a dropout"):
            adapter_for(layer, config_of(algorithm, dropout=0.5))
        return
    adapter = adapter_for(layer, config_of(algorithm, dropout=0.5))

    def after(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return answer(layer, adapter, x)

    with torch.random.fork_rng():
        assert torch.equal(after(1), after(1))
        assert not torch.equal(after(1), after(2))
        adapter.eval()
        assert torch.equal(after(1), after(2))


@each_algorithm
def test_the_seed_decides_the_start(algorithm: str) -> None:
    if algorithm in ("olora", "oft"):
        return  # They have nothing random: the next test holds that two starts are equal.
    layer = nn.Linear(48, 64)
    one, other = (adapter_for(layer, config_of(algorithm), seed=seed, moved=False) for seed in (0, 1))
    assert not all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


@each_algorithm
def test_the_same_start_twice_and_no_draw_from_the_global_stream(algorithm: str) -> None:
    layer = nn.Linear(48, 64)
    before = torch.get_rng_state()
    one, other = (adapter_for(layer, config_of(algorithm), moved=False) for _ in range(2))
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))
    assert torch.equal(torch.get_rng_state(), before)


@each_algorithm
@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_training_goes_on_from_its_state(algorithm: str, kind: str) -> None:
    layer, x = layer_of(kind), input_of(kind)
    adapters = AdapterSet({"0": adapter_for(layer, config_of(algorithm))})
    fresh = AdapterSet.create({"0": layer}, config_of(algorithm), seed=5)
    fresh.load_training_state(adapters.training_state())
    network = nn.Sequential(layer)
    fresh.start(network, lend)
    expected = answer(layer, adapters.adapters["0"], x)
    assert torch.equal(answer(layer, fresh.adapters["0"], x), expected)


@each_algorithm
def test_rounding_to_16_bits_keeps_the_effect(algorithm: str) -> None:
    layer = layer_of("linear", torch.float64)
    adapter = adapter_for(layer, config_of(algorithm), torch.float64, moved=False)
    for name, parameter in adapter.named_parameters():
        parameter.data += 1e-3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
    tensors = {key: tensor.detach().double() for key, tensor in adapter.file_tensors().items()}
    rounded = {k: t if t.ndim < 2 or k == "dora_scale" else t.bfloat16().double() for k, t in tensors.items()}
    exact, found = (changed(some, layer.weight) - layer.weight for some in (tensors, rounded))
    assert (found - exact).norm() < 0.02 * exact.norm()
