"""Adapters beside frozen layers: peft's maths, the host's names."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from danlu.training.adapters import AdapterSet, create_adapter
from danlu.training.config import LoRAConfig

from .toys import ToyNetwork, seeded


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 10)
        self.conv = nn.Conv2d(3, 5, kernel_size=3, stride=2, padding=1)
        self.point = nn.Conv2d(5, 4, kernel_size=1)
        self.requires_grad_(False)

    def forward(self, x: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.linear(x), self.point(torch.relu(self.conv(image)))


CONFIG = LoRAConfig(algorithm="lora", rank=3, alpha=1.5, dropout=0.0)


def filled(adapters: AdapterSet) -> AdapterSet:
    for name, adapter in adapters.adapters.items():
        for part, parameter in adapter.named_parameters():
            parameter.data.copy_(seeded(f"{name} {part}", *parameter.shape))
    return adapters


def adapters_for(network: nn.Module, config: LoRAConfig = CONFIG, seed: int = 0) -> AdapterSet:
    return AdapterSet.create(layers_of(network), config, seed)


def layers_of(network: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in network.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))}


def test_a_hook_adds_up_down_x_times_alpha_over_rank() -> None:
    network = Mixed()
    adapters = filled(adapters_for(network))
    x, image = seeded("x", 2, 6), seeded("image", 2, 3, 8, 8)
    plain, _ = network(x, image)
    with adapters.attached(network):
        adapted, _ = network(x, image)
    linear = adapters.adapters["linear"]
    expected = plain + x @ linear.down.weight.T @ linear.up.weight.T * (1.5 / 3)
    torch.testing.assert_close(adapted, expected)
    assert torch.equal(network(x, image)[0], plain)


def test_the_same_as_peft_around_the_layers() -> None:
    network = Mixed()
    adapters = filled(adapters_for(network))
    x, image = seeded("x", 2, 6), seeded("image", 2, 3, 8, 8)
    with adapters.attached(network):
        found = network(x, image)
    theirs = get_peft_model(network, LoraConfig(r=3, lora_alpha=1.5, target_modules=["linear", "conv", "point"]))
    with torch.no_grad():
        for name, adapter in adapters.adapters.items():
            layer = theirs.base_model.model.get_submodule(name)
            layer.lora_A["default"].weight.copy_(adapter.down.weight)
            layer.lora_B["default"].weight.copy_(adapter.up.weight)
    for ours, expected in zip(found, theirs(x, image), strict=True):
        torch.testing.assert_close(ours, expected)


def test_new_adapters_change_nothing_and_can_learn() -> None:
    network = ToyNetwork()
    adapters = adapters_for(network)
    for adapter in adapters.adapters.values():
        assert not adapter.up.weight.any()
        assert adapter.down.weight.std() > 0
    assert all(parameter.requires_grad for parameter in adapters.parameters())


def test_the_same_start_in_any_order_and_number() -> None:
    layers = layers_of(ToyNetwork())
    forward = AdapterSet.create(layers, CONFIG, seed=3)
    backward = AdapterSet.create(dict(reversed(layers.items())), CONFIG, seed=3)
    alone = AdapterSet.create({"out": layers["out"]}, CONFIG, seed=3)
    for name in layers:
        assert torch.equal(forward.adapters[name].down.weight, backward.adapters[name].down.weight)
    assert torch.equal(forward.adapters["out"].down.weight, alone.adapters["out"].down.weight)


def test_another_seed_and_another_layer_start_elsewhere() -> None:
    layers = layers_of(ToyNetwork())
    one, other = AdapterSet.create(layers, CONFIG, seed=3), AdapterSet.create(layers, CONFIG, seed=4)
    assert not torch.equal(one.adapters["out"].down.weight, other.adapters["out"].down.weight)
    first, second = one.adapters["blocks.0.first"], one.adapters["blocks.1.first"]
    assert not torch.equal(first.down.weight, second.down.weight)


def test_making_adapters_draws_nothing_from_the_global_stream() -> None:
    network = ToyNetwork()
    before = torch.get_rng_state()
    adapters_for(network)
    assert torch.equal(torch.get_rng_state(), before)


def test_adapters_made_in_inference_mode_can_be_trained() -> None:
    with torch.inference_mode():
        adapters = adapters_for(ToyNetwork())
    assert not any(parameter.is_inference() for parameter in adapters.parameters())


def test_the_adapter_is_fp32_beside_a_layer_of_another_dtype() -> None:
    layer = nn.Linear(6, 10).to(torch.bfloat16)
    adapter = create_adapter(layer, CONFIG, torch.float32, seed=0)
    assert {parameter.dtype for parameter in adapter.parameters()} == {torch.float32}
    adapters = AdapterSet({"0": adapter})
    network = nn.Sequential(layer)
    with adapters.attached(network):
        assert network(seeded("x", 2, 6).bfloat16()).dtype == torch.bfloat16


def test_hooks_are_taken_off_after_an_error() -> None:
    network = ToyNetwork()
    with pytest.raises(KeyError), adapters_for(network).attached(network):
        raise KeyError
    assert not any(module._forward_hooks for module in network.modules())


def test_names_and_alpha_of_the_file() -> None:
    network = Mixed()
    adapters = filled(adapters_for(network))
    state = adapters.state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == {
        "diffusion_model.linear.lora_up.weight": (10, 3),
        "diffusion_model.linear.lora_down.weight": (3, 6),
        "diffusion_model.linear.alpha": (),
        "diffusion_model.conv.lora_up.weight": (5, 3, 1, 1),
        "diffusion_model.conv.lora_down.weight": (3, 3, 3, 3),
        "diffusion_model.conv.alpha": (),
        "diffusion_model.point.lora_up.weight": (4, 3, 1, 1),
        "diffusion_model.point.lora_down.weight": (3, 5, 1, 1),
        "diffusion_model.point.alpha": (),
    }
    assert all(state[name].item() == 1.5 for name in state if name.endswith(".alpha"))
    assert {(tensor.dtype, tensor.is_contiguous()) for tensor in state.values()} == {(torch.float32, True)}


def test_the_file_is_a_copy() -> None:
    adapters = filled(adapters_for(Mixed()))
    state = adapters.state_dict()
    kept = {name: tensor.clone() for name, tensor in state.items()}
    for parameter in adapters.parameters():
        parameter.data.zero_()
    assert all(torch.equal(state[name], kept[name]) for name in kept)


def test_dropout_follows_torchs_seed_and_stops_outside_of_training() -> None:
    network = Mixed()
    config = LoRAConfig(algorithm="lora", rank=3, alpha=3.0, dropout=0.5)
    adapters = filled(adapters_for(network, config))
    x, image = seeded("x", 2, 6), seeded("image", 2, 3, 8, 8)

    def answer(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return network(x, image)[0]

    with torch.random.fork_rng(), adapters.attached(network):
        adapters.train()
        assert torch.equal(answer(1), answer(1))
        assert not torch.equal(answer(1), answer(2))
        adapters.train(False)
        assert torch.equal(answer(1), answer(2))
