"""Checkpointed blocks give the gradients of plain ones, also where blocks change tensors in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from danlu.training.adapters import AdapterSet
from danlu.training.checkpointing import blocks_of, checkpointed, mutation_allowed
from danlu.training.config import LoRAConfig
from danlu.training.targets import select

from .toys import CHANNELS, SIDE, TEXT, ToyBlock, ToyNetwork, seeded


class InPlaceBlock(nn.Module):
    """Changes what autograd keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.linear.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.linear(x)
        squares = hidden * hidden
        hidden += 1.0
        return squares + torch.sin(hidden)


@dataclass(frozen=True)
class Shift:
    """As the host's `ModulationOut`."""

    amount: Tensor


class PairBlock(nn.Module):
    """Two streams, a tensor that is no float, and steering inside of other objects."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.requires_grad_(False)

    def forward(
        self, image: Tensor, text: Tensor, order: Tensor, shifts: tuple[Shift, list[Tensor]], options: dict[str, Any]
    ) -> tuple[Tensor, Tensor]:
        image = image[:, order] * image
        image += self.first(text) * shifts[0].amount
        text *= torch.cos(self.second(image)) + shifts[1][0] * options["gain"] * options["index"]
        return image, text


class PairNetwork(nn.Module):
    """Where the steering comes from has an adapter too."""

    def __init__(self) -> None:
        super().__init__()
        self.steer = nn.Linear(4, 12)
        self.steer.requires_grad_(False)
        self.blocks = nn.ModuleList([PairBlock(), PairBlock()])

    def forward(self, x: Tensor) -> Tensor:
        first, second, gain = self.steer(x).chunk(3, dim=-1)
        image, text = x * 1.0, x.flip(0)
        options: dict[str, Any] = {"gain": gain}  # one for all blocks, as the host's transformer_options
        for i, block in enumerate(self.blocks):
            options["index"] = i + 1
            shifts = Shift(first), [second]
            image, text = block(image, text, torch.tensor([2, 0, 3, 1]), shifts=shifts, options=options)
        return image * text


def adapters_on(network: nn.Module, dropout: float = 0.0) -> AdapterSet:
    config = LoRAConfig(algorithm="lora", rank=2, alpha=2.0, targets="all-linear", dropout=dropout)
    adapters = AdapterSet.create(select(network, config), config, seed=0, dtype=torch.float64)
    for name, adapter in adapters.adapters.items():
        adapter.up.weight.data.copy_(seeded(name, *adapter.up.weight.shape))
    return adapters


Run = Callable[[], Tensor]


def gradients(adapters: AdapterSet, run: Run) -> list[Tensor]:
    for parameter in adapters.parameters():
        parameter.grad = None
    torch.manual_seed(7)
    run().square().mean().backward()
    found = [parameter.grad for parameter in adapters.parameters()]
    assert all(gradient is not None and gradient.norm() > 0 for gradient in found)
    return [gradient.clone() for gradient in found if gradient is not None]


@contextmanager
def wired(network: nn.Module, adapters: AdapterSet, *, blocks: bool, mutable: bool = False) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(adapters.attached(network))
        stack.enter_context(checkpointed(network, dict(adapters.adapters)) if blocks else nullcontext())
        stack.enter_context(mutation_allowed() if mutable else nullcontext())
        yield


def toy_run(network: nn.Module) -> Run:
    x = seeded("x", 3, CHANNELS, SIDE, SIDE).double()
    return lambda: network(x, torch.tensor([0.1, 0.5, 0.9]).double(), seeded("text", 3, 5, TEXT).double())


def stacked(block: Callable[[Tensor], Tensor]) -> Run:
    x = seeded("x", 5, 4).double()
    return lambda: block(block(x.clone()))


def plain_gradients(network: nn.Module, adapters: AdapterSet, run: Run) -> list[Tensor]:
    with wired(network, adapters, blocks=False, mutable=True):
        return gradients(adapters, run)


def far(found: list[Tensor], expected: list[Tensor]) -> float:
    return max(float((a - b).norm() / b.norm()) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("mutable", [False, True])
def test_in_place_blocks(mutable: bool) -> None:
    network = ToyNetwork().double()
    adapters = adapters_on(network)
    expected = plain_gradients(network, adapters, toy_run(network))
    with wired(network, adapters, blocks=True, mutable=mutable):
        found = gradients(adapters, toy_run(network))
    assert far(found, expected) < 1e-12


def test_torch_checkpoint_is_wrong_where_ours_is_right() -> None:
    block = InPlaceBlock().double()
    network = nn.ModuleList([block])
    adapters = adapters_on(network)
    expected = plain_gradients(network, adapters, stacked(block))
    with wired(network, adapters, blocks=True):
        assert far(gradients(adapters, stacked(block)), expected) < 1e-12
    with wired(network, adapters, blocks=False):
        theirs = gradients(adapters, stacked(lambda x: checkpoint(block, x, use_reentrant=False)))
        assert far(theirs, expected) > 0.01
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            gradients(adapters, stacked(block))


def test_tensors_inside_of_arguments_keep_their_gradients() -> None:
    network = PairNetwork().double()
    adapters = adapters_on(network)
    x = seeded("x", 5, 4).double()
    expected = plain_gradients(network, adapters, lambda: network(x))
    with wired(network, adapters, blocks=True):
        found = gradients(adapters, lambda: network(x))
    assert far(found, expected) < 1e-12


def test_in_place_changes_outside_of_blocks_too() -> None:
    # The loop then allows mutation from the start; blocks compute again inside of that.
    network = ToyNetwork().double()
    adapters = adapters_on(network)
    head = network.out.forward

    def changed_after(x: Tensor) -> Tensor:
        y = head(x)
        squares = y * y
        y += 1.0
        return squares + y

    network.out.forward = changed_after  # type: ignore[method-assign]
    expected = plain_gradients(network, adapters, toy_run(network))
    with wired(network, adapters, blocks=True, mutable=True):
        found = gradients(adapters, toy_run(network))
        again = gradients(adapters, toy_run(network))
    assert far(found, expected) < 1e-12
    assert far(again, expected) < 1e-12


def test_dropout_is_the_same_in_the_second_run() -> None:
    network = ToyNetwork().double()
    adapters = adapters_on(network, dropout=0.5)
    expected = plain_gradients(network, adapters, toy_run(network))
    with wired(network, adapters, blocks=True):
        assert far(gradients(adapters, toy_run(network)), expected) < 1e-12


def test_the_outer_random_stream_goes_on_as_if_nothing_ran_twice() -> None:
    network = ToyNetwork().double()
    adapters = adapters_on(network, dropout=0.5)
    plain_gradients(network, adapters, toy_run(network))
    expected = torch.get_rng_state()
    with wired(network, adapters, blocks=True):
        gradients(adapters, toy_run(network))
    assert torch.equal(torch.get_rng_state(), expected)


def test_blocks_without_adapters_pass_gradients_on() -> None:
    network = ToyNetwork().double()
    config = LoRAConfig(
        algorithm="lora", rank=2, alpha=2.0, targets="all-linear", include=r"^text_in$|^blocks\.1\.second$"
    )
    adapters = AdapterSet.create(select(network, config), config, seed=0, dtype=torch.float64)
    for adapter in adapters.adapters.values():
        adapter.up.weight.data.fill_(0.1)
    expected = plain_gradients(network, adapters, toy_run(network))
    with wired(network, adapters, blocks=True):
        assert far(gradients(adapters, toy_run(network)), expected) < 1e-12


def saved_bytes(adapters: AdapterSet, run: Run) -> int:
    sizes: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel() * tensor.element_size())
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        run()
    return sum(sizes)


def test_it_keeps_less() -> None:
    network = ToyNetwork().double()
    adapters = adapters_on(network)
    with wired(network, adapters, blocks=False):
        plain = saved_bytes(adapters, toy_run(network))
    with wired(network, adapters, blocks=True):
        kept = saved_bytes(adapters, toy_run(network))
    assert kept < 0.7 * plain


def test_without_gradients_blocks_run_as_they_are() -> None:
    network = ToyNetwork().double()
    adapters = adapters_on(network)
    with torch.no_grad(), adapters.attached(network):
        expected = toy_run(network)()
        with checkpointed(network, dict(adapters.adapters)):
            assert torch.equal(toy_run(network)(), expected)


def test_blocks_are_given_back() -> None:
    network = ToyNetwork()
    own = network.blocks[1].forward
    network.blocks[1].forward = own  # type: ignore[method-assign]
    with pytest.raises(KeyError), checkpointed(network, {}):
        raise KeyError
    assert "forward" not in network.blocks[0].__dict__
    assert network.blocks[1].__dict__["forward"] == own


def test_blocks_are_the_outermost_ones() -> None:
    class OuterBlock(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = ToyBlock()

    network = nn.ModuleDict({"a": nn.ModuleList([OuterBlock()]), "b": nn.Sequential(ToyBlock(), nn.Linear(4, 4))})
    assert list(blocks_of(network)) == ["a.0", "b.0"]


def test_a_changed_tensor_is_not_taken_for_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later tensor with the id and the address of one that was saved, changed and freed keeps its own values.

    Memory is reused as it happens to be: here all tensors of one size have one mark.
    """
    monkeypatch.setattr(torch.autograd.graph, "_get_tid", lambda tensor: (0, tensor.numel(), tensor._version))
    weight = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    with mutation_allowed():
        first = weight * 3
        one = (first * first).sum()
        first.add_(1.0)
        del first
        second = weight * 5
        (one + (second * second).sum()).backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, 2 * (9 + 25) * weight.detach())
