"""Going on from what a file holds: the same effect, in adapters of the same or another size."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from danlu.errors import DanluError
from danlu.training.adapters import AdapterSet, StartLayer, StartLora, create_adapter
from danlu.training.config import LoRAConfig
from danlu.training.outline import outlined
from danlu.training.request import TrainRequest

from ..training.toys import ToyModel, training_data
from .layers import adapter_for, changed, config_of, layer_of, lend, seeded


def low_rank(layer: nn.Module, rank: int, alpha: float) -> StartLayer:
    rows, columns = layer.weight.flatten(1).shape
    up, down = seeded("up", rows, rank), seeded("down", rank, columns)
    return StartLayer(rank, alpha, {"lora_up.weight": up, "lora_down.weight": down})


def effect(layer: nn.Module, config: LoRAConfig, start: StartLayer) -> Tensor:
    """What the file of an adapter that goes on from `start` does to the weight."""
    adapter = create_adapter(layer, config, torch.float32, seed=0)
    adapter.go_on_from(start)
    adapter.start(partial(lend, layer))
    with torch.no_grad():
        return (changed(adapter.file_tensors(), layer.weight) - layer.weight).flatten(1)


@pytest.mark.parametrize("kind", ["linear", "conv", "point"])
@pytest.mark.parametrize("algorithm", ["lora", "rslora", "dora"])
@pytest.mark.parametrize("rank", [2, 3, 5])
def test_the_effect_is_the_files_at_its_rank_and_above(algorithm: str, rank: int, kind: str) -> None:
    layer = layer_of(kind)
    start = low_rank(layer, 2, 0.7)
    expected = start.tensors["lora_up.weight"] @ start.tensors["lora_down.weight"] * 0.35
    found = effect(layer, config_of(algorithm, rank=rank, alpha=4.0), start)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_new_rows_can_learn() -> None:
    layer = layer_of("linear")
    adapter = create_adapter(layer, config_of("lora", rank=5), torch.float32, seed=0)
    adapter.go_on_from(low_rank(layer, 2, 2.0))
    assert adapter.down.weight[2:].abs().sum(1).all()
    assert not adapter.up.weight[:, 2:].any()


def test_a_smaller_rank_is_the_best_approximation() -> None:
    layer = layer_of("linear")
    start = low_rank(layer, 4, 4.0)
    whole = start.tensors["lora_up.weight"] @ start.tensors["lora_down.weight"]
    found = effect(layer, config_of("lora", rank=2, alpha=1.0), start)
    lost = torch.linalg.svdvals(whole)[2:].square().sum().sqrt()
    assert torch.linalg.matrix_rank(found, atol=1e-4) == 2
    torch.testing.assert_close((found - whole).norm(), lost, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["linear", "conv"])
@pytest.mark.parametrize("algorithm", ["dora", "loha", "lokr", "oft"])
def test_files_of_other_algorithms(algorithm: str, kind: str) -> None:
    layer, config = layer_of(kind), config_of(algorithm)
    adapter = adapter_for(layer, config)
    tensors = {k: t.detach() for k, t in adapter.file_tensors().items()}
    given = {
        k: t.flatten(1) if k.startswith("lora_") else t.flatten() if k == "dora_scale" else t
        for k, t in tensors.items()
    }
    alpha = float(given.pop("alpha", config.rank))
    expected = (changed(tensors, layer.weight) - layer.weight).flatten(1)
    found = effect(layer, config, StartLayer(config.rank, alpha, given))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("algorithm", ["loha", "oft"])
def test_what_cannot_change_its_size_says_so(algorithm: str) -> None:
    layer = layer_of("linear")
    tensors = adapter_for(layer, config_of(algorithm)).file_tensors()
    with pytest.raises(DanluError, match="leave rank at -1"):
        effect(layer, config_of(algorithm, rank=2), StartLayer(3, 3.0, tensors))


def start_lora(**layers: StartLayer) -> StartLora:
    return StartLora("x.safetensors", "identity", "lora", layers)


ASKED = LoRAConfig(dropout=0.0)


def test_what_is_left_open_comes_from_the_file() -> None:
    layers = {name: nn.Linear(6, 8) for name in ("a", "b", "c", "new")}
    start = start_lora(**{name: low_rank(layers[name], rank, 1.0) for name, rank in (("a", 2), ("b", 2), ("c", 3))})
    config = LoRAConfig(**{**vars(start.config(ASKED)), "alpha": 2.0})
    assert (config.algorithm, config.rank) == ("lora", 2)
    made = AdapterSet.continuing(layers, config, 0, start, ASKED).adapters
    assert {name: (a.rank, a.alpha) for name, a in made.items()} == {
        "a": (2, 1.0),
        "b": (2, 1.0),
        "c": (3, 1.0),
        "new": (2, 2.0),
    }


def test_what_is_asked_for_wins() -> None:
    layers = {"a": nn.Linear(6, 8), "b": nn.Linear(6, 8)}
    start = start_lora(**{name: low_rank(layer, 2, 1.0) for name, layer in layers.items()})
    asked = LoRAConfig(algorithm="rslora", rank=4, alpha=8.0, dropout=0.0, per_block="b: rank=3")
    made = AdapterSet.continuing(layers, start.config(asked), 0, start, asked).adapters
    assert {name: (a.rank, a.alpha) for name, a in made.items()} == {"a": (4, 8.0), "b": (3, 6.0)}


@pytest.mark.parametrize("algorithm", ["pissa", "olora", "loha", "lokr", "oft"])
def test_other_algorithms_cannot_go_on_with_a_lora(algorithm: str) -> None:
    with pytest.raises(DanluError, match=f"algorithm lora, with which {algorithm} cannot go on"):
        start_lora().config(LoRAConfig(algorithm=algorithm))


def test_the_file_is_part_of_what_a_run_is(tmp_path: Path) -> None:
    def folder(start: StartLora | None, **asked: object) -> Path:
        lora = LoRAConfig(targets="all-linear", **asked)  # type: ignore[arg-type]
        request = TrainRequest(ToyModel(), "base", training_data(), tmp_path, steps=2, lora=lora, start=start)
        return outlined(request).store.folder

    one = start_lora(out=low_rank(nn.Linear(16, 32), 2, 1.0))
    other = StartLora(one.name, "another content", one.algorithm, one.layers)
    # A rank that was asked for is another thing than the same one left to the file.
    folders = [folder(None), folder(None, rank=2), folder(one), folder(other), folder(one, rank=2)]
    assert len(set(folders)) == 5
    assert folder(one) == folders[2]
