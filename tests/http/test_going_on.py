"""Going on from LoRA files, other algorithms and the text encoder, on the real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from danlu.demo.server import node
from danlu.tests.http.graphs import saving, training
from danlu.tests.server import Server

HELD = {"learning_rate": 1e-12, "weight_decay": 0.0}


def graph(name: str, lora: dict[str, Any] | None = None, **train: Any) -> dict[str, Any]:
    """One step that moves nothing, saved as `name`."""
    nodes = {**training("sd15", steps=1, name=name, training_config=["held", 0], **train), **saving(name=name)}
    nodes["held"] = node("DanluTrainingConfig", **HELD)
    nodes["config"] = node("DanluLoRAConfig", **(lora or {}))
    return nodes


def trained(studio: Server, name: str, lora: dict[str, Any] | None = None, **train: Any) -> dict[str, Tensor]:
    run = studio.run(graph(name, lora, **train))
    assert run.ok, run.explain()
    return load_file(file_of(studio, name))


def file_of(studio: Server, name: str) -> Path:
    return studio.base / "models" / "loras" / "danlu" / f"{name}.safetensors"


def moved(file: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: torch.randn_like(tensor) * 0.1 if "up" in key else tensor for key, tensor in file.items()}


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.allclose(found[k], expected[k], atol=1e-6) for k in found)


def test_start_lora_and_another_file_under_its_name(studio: Server) -> None:
    first = moved(trained(studio, "first", {"rank": 3, "alpha": 1.5, "targets": "attention"}, seed=41))
    save_file(first, file_of(studio, "first"))
    chosen: dict[str, Any] = {"start_lora": "danlu/first.safetensors", "seed": 42}
    assert same(trained(studio, "second", **chosen), first)
    other = moved(first)
    save_file(other, file_of(studio, "first"))
    # The same graph: the host would answer from its cache if the file's content were no input.
    trained(studio, "second", **chosen)
    (second,) = {*file_of(studio, "x").parent.glob("second*")} - {file_of(studio, "second")}
    assert same(load_file(second), other)


def test_a_dora_is_saved_and_gone_on_from(studio: Server) -> None:
    first = trained(studio, "first_dora", {"rank": 2, "algorithm": "dora"}, seed=43)
    assert any("dora_scale" in key for key in first)
    again = trained(studio, "again_dora", start_lora="danlu/first_dora.safetensors", seed=44)
    assert again.keys() == first.keys()
    assert all(torch.allclose(again[key], first[key], rtol=1e-4, atol=1e-6) for key in first)


def test_the_text_encoder(studio: Server) -> None:
    file = trained(studio, "with_text", {"rank": 2, "text_encoder": "on"}, seed=45, clip=["clip", 0])
    assert len([key for key in file if key.startswith("lora_te")]) == 3 * 6 * 12


def test_the_text_encoder_without_clip(studio: Server) -> None:
    run = studio.run(graph("no_clip", {"rank": 2, "text_encoder": "on"}, seed=46))
    assert run.error and "clip of Train LoRA (Danlu) is not wired" in run.error["exception_message"]
    assert not any("step 1 /" in line for line in run.texts())
