"""The gradient of a layer and that of the adapter beside it are one product: as plain autograd has it, however the
layer is used."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import comfy.ops
import pytest
import torch
from torch import Tensor, nn

from danlu.host.frozen import frozen_layers
from danlu.training.adapters import Adapter, AdapterSet
from danlu.training.checkpointing import checkpointed
from danlu.training.config import LoRAConfig

CONFIG = LoRAConfig(algorithm="lora", rank=3, alpha=1.5, dropout=0.0)
Use = Callable[[nn.Module, Tensor], Tensor]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear(dtype: torch.dtype) -> nn.Linear:
    layer = comfy.ops.manual_cast.Linear(6, 6, dtype=dtype)
    layer.weight.data.copy_(drawn(6, 6, seed=1))
    layer.bias.data.copy_(drawn(6, seed=2))
    return layer.requires_grad_(False)


class Block(nn.Module):
    """One layer, and what is done with it."""

    def __init__(self, use: Use) -> None:
        super().__init__()
        self.layer, self.use = linear(torch.float32), use

    def forward(self, x: Tensor) -> Tensor:
        return self.use(self.layer, x)


class Network(nn.Module):
    """The block comes second: gradients have to reach what stands before it."""

    def __init__(self, use: Use) -> None:
        super().__init__()
        self.first, self.block = Block(lambda layer, x: layer(x)), Block(use)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(torch.tanh(self.first(x)))


def same_input(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x) * layer(x).sigmoid() + x


def other_inputs(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x) + layer(torch.tanh(layer(x)) - x)


def a_part(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x[:, 1:]) + layer(x)[:, :-1]


def turned(layer: nn.Module, x: Tensor) -> Tensor:
    """The gradient that comes back is no plain row of memory."""
    return (layer(x).transpose(1, 2) * drawn(6, 5, seed=3)).expand(4, 2, 6, 5).sum(0)


def one_row(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x[0, 0]) * x


USES: dict[str, Use] = {u.__name__: u for u in (same_input, other_inputs, a_part, turned, one_row)}


def adapters_of(network: nn.Module, config: LoRAConfig = CONFIG) -> AdapterSet:
    layers = {name: m for name, m in network.named_modules() if hasattr(m, "in_features")}
    adapters = AdapterSet.create(layers, config, seed=0)
    for i, parameter in enumerate(adapters.parameters()):
        parameter.data.copy_(drawn(*parameter.shape, seed=10 + i))
    return adapters


def gradients(
    network: nn.Module, config: LoRAConfig = CONFIG, *, checkpoint: bool = False, passes: int = 1
) -> list[Tensor | None]:
    """Of the input and of all adapters, beside frozen layers."""
    adapters = adapters_of(network, config)
    x = drawn(2, 5, 6, seed=9).requires_grad_()
    blocks = dict(network.named_children())
    with (
        frozen_layers(network),
        adapters.attached(network),
        checkpointed(network, dict(adapters.adapters), blocks) if checkpoint else nullcontext(),
    ):
        torch.manual_seed(0)
        loss = network(x).float().square().sum()
        for i in range(passes):
            loss.backward(retain_graph=i + 1 < passes)
    return [x.grad, *(parameter.grad for parameter in adapters.parameters())]


def plain_gradients(network: nn.Module, config: LoRAConfig = CONFIG) -> list[Tensor | None]:
    """By torch alone: no function of ours takes part."""
    adapters = adapters_of(network, config)
    x = drawn(2, 5, 6, seed=9).requires_grad_()

    def beside(adapter: Adapter):  # noqa: ANN202 - torch's own hook type
        def add(_module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return output + adapter(args[0]).to(output.dtype)

        return add

    for name, adapter in adapters.adapters.items():
        network.get_submodule(name).register_forward_hook(beside(adapter))
    torch.manual_seed(0)
    network(x).float().square().sum().backward()
    return [x.grad, *(parameter.grad for parameter in adapters.parameters())]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_like_plain_autograd(use: Use, checkpoint: bool, dropout: float) -> None:
    config = replace(CONFIG, dropout=dropout)
    found, expected = gradients(Network(use), config, checkpoint=checkpoint), plain_gradients(Network(use), config)
    assert all(grad is not None and grad.any() for grad in expected)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_graph_that_is_kept_gives_the_same_once_more() -> None:
    once, twice = gradients(Network(same_input)), gradients(Network(same_input), passes=2)
    torch.testing.assert_close(twice, [None if grad is None else 2 * grad for grad in once])


@pytest.mark.parametrize("needs_gradient", [True, False])
def test_the_layer_takes_what_its_input_needs(needs_gradient: bool) -> None:
    layer = linear(torch.float32)
    network = nn.Sequential(layer)
    adapters = adapters_of(network)
    x = drawn(2, 6).requires_grad_(needs_gradient)
    with frozen_layers(network), adapters.attached(network):
        y = network(x)
    assert (y.grad_fn.layer is not None) is needs_gradient  # type: ignore[union-attr]
    y.sum().backward()
    (adapter,) = adapters.adapters.values()
    up, down = (weight.detach() for weight in adapter.factors())  # type: ignore[operator]
    ones = torch.ones(2, 6)
    torch.testing.assert_close(adapter.down.weight.grad, 0.5 * (ones @ up).T @ x.detach())  # type: ignore[union-attr]
    if needs_gradient:
        torch.testing.assert_close(x.grad, ones @ (layer.weight + 0.5 * up @ down))


def test_silent_layers_give_the_gradient_of_the_base_alone() -> None:
    layer = linear(torch.float32)
    network = nn.Sequential(layer)
    adapters = adapters_of(network)
    x = drawn(2, 6).requires_grad_()
    with frozen_layers(network), adapters.attached(network), adapters.silent():
        network(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.ones(2, 6) @ layer.weight)


class Narrow(nn.Module, comfy.ops.CastWeightBiasOp):
    """Answers in bf16 whatever it is asked in, as quantised products may."""

    def __init__(self) -> None:
        super().__init__()
        like = linear(torch.bfloat16)
        self.in_features = self.out_features = 6
        self.weight, self.bias = like.weight, like.bias

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x.to(torch.bfloat16), self.weight, self.bias)


def test_a_layer_that_answers_in_another_dtype() -> None:
    found, expected = gradients(nn.Sequential(Narrow())), plain_gradients(nn.Sequential(Narrow()))
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)
