"""Training on the real server, as a browser would start it."""

from __future__ import annotations

import io
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from danlu.demo.server import node
from danlu.tests.http.graphs import loaders, sampling, saving, told_step, training
from danlu.tests.server import Server

LAYOUTS = ("flux", "sd15")
LINE = r"step 3 / 3 · loss [\d.]+, average [\d.]+ · [\d.]+ (steps/s|s/step) · 0 s left · RAM [\d.]+ [GM]B"
_numbers = itertools.count()


def sampled(studio: Server, graph: dict[str, Any], prefix: str) -> torch.Tensor:
    """The latent that `graphs.sampling` saved."""
    run = studio.run(graph)
    assert run.ok, run.explain()
    saved = run.outputs[f"{prefix} latent"]["latents"][0]
    return load_file(studio.base / "output" / saved["subfolder"] / saved["filename"])["latent_tensor"]


def base_sample(studio: Server, layout: str) -> torch.Tensor:
    prefix = f"base{next(_numbers)}"
    return sampled(studio, {**loaders(layout), **sampling(layout, ["unet", 0], prefix=prefix)}, prefix)


def runs(studio: Server) -> dict[Path, tuple[int, bytes]]:
    """Every log of every run: when it was written, and what is in it."""
    logs = (studio.base / "user" / "__danlu" / "runs").glob("*/log.jsonl")
    return {log: (log.stat().st_mtime_ns, log.read_bytes()) for log in logs}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_train_save_and_load_again(studio: Server, layout: str) -> None:
    before = base_sample(studio, layout)
    run = studio.run({**training(layout, seed=11), **saving(name=f"saved_{layout}")})
    assert run.ok, run.explain()
    assert "4 images × repeats 1, batch 1 → 3 steps = 0.8 epochs" in run.texts("train")[0]
    assert any(re.fullmatch(LINE, text) for text in run.texts("train"))
    assert torch.equal(base_sample(studio, layout), before)

    name = f"danlu/saved_{layout}.safetensors"
    assert name in studio.object_info("LoraLoader")["input"]["required"]["lora_name"][0]
    log_before = len(studio.process.log_tail(10_000))
    lora = {
        **loaders(layout),
        "lora": node(
            "LoraLoader", model=["unet", 0], clip=["clip", 0], lora_name=name, strength_model=1.0, strength_clip=1.0
        ),
    }
    after = sampled(studio, {**lora, **sampling(layout, ["lora", 0], prefix=f"lora_{layout}")}, f"lora_{layout}")
    assert not torch.equal(after, before)
    assert "not loaded" not in studio.process.log_tail(10_000)[log_before:].lower()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_lora_reaches_the_hosts_own_loader(studio: Server, layout: str) -> None:
    before = base_sample(studio, layout)
    graph = {
        **training(layout, seed=12),
        "lora": node("LoraModelLoader", model=["unet", 0], lora=["train", 0], strength_model=1.0, bypass=False),
        **sampling(layout, ["lora", 0], prefix=f"live_{layout}"),
        "plot": node("LossGraphNode", loss=["train", 3], filename_prefix="loss"),
    }
    assert not torch.equal(sampled(studio, graph, f"live_{layout}"), before)


def test_the_curve_stays_on_the_node(studio: Server) -> None:
    old = set(runs(studio))
    run = studio.run(training("sd15", seed=19))
    assert run.ok, run.explain()
    (log,) = set(runs(studio)) - old
    assert [line.split(",")[0] for line in (log.parent / "loss.csv").read_text().splitlines()][0] == "step"
    (shown,) = run.outputs["train"]["images"]
    assert shown["type"] == "temp"
    picture = studio.request("GET", f"/view?filename={shown['filename']}&type=temp")
    with Image.open(io.BytesIO(picture)) as image:
        assert image.size == (600, 340)
    assert run.outputs["train"]["danlu_run"] == [log.parent.name], "for the chart on the page"


def test_interrupt_stops_within_a_step_and_leaves_the_model_clean(studio: Server) -> None:
    before, old, since = base_sample(studio, "flux"), set(runs(studio)), len(studio.messages)
    prompt = studio.queue(training("flux", seed=13, steps=5000, save_every=5000))
    studio.wait_for(lambda message: told_step(message) >= 3, 120, since)
    (log,) = set(runs(studio)) - old
    studio.interrupt()
    at = len(log.read_text().splitlines())
    run = studio.wait(prompt, since=since)
    assert run.interrupted
    last = len(log.read_text().splitlines())
    assert last <= at + 1, "the step that was running, and no other"
    assert max(map(told_step, run.messages)) == last
    assert torch.equal(base_sample(studio, "flux"), before)
    again = studio.run(training("flux", seed=13, steps=2))
    assert again.ok, again.explain()


def test_the_same_graph_again_trains_nothing(studio: Server) -> None:
    graph = {**training("flux", seed=14), **saving(name="twice")}
    assert studio.run(graph).ok
    first = runs(studio)
    assert studio.run(graph).ok
    studio.free()  # the host's cache is gone: the disk answers
    again = studio.run(graph)
    assert again.ok and "train" in again.executed()
    assert runs(studio) == first
    assert len(list((studio.base / "models" / "loras" / "danlu").glob("twice*"))) == 1


def test_a_changed_test_trains_nothing(studio: Server) -> None:
    def graph(seed: int) -> dict[str, Any]:
        lora = node("LoraModelLoader", model=["unet", 0], lora=["train", 0], strength_model=1.0, bypass=False)
        return {**training("flux", seed=15), "lora": lora, **sampling("flux", ["lora", 0], seed, f"seed{seed}")}

    first = sampled(studio, graph(1), "seed1")
    logs = runs(studio)
    assert not torch.equal(sampled(studio, graph(2), "seed2"), first)
    assert runs(studio) == logs


def test_checkpoints_are_saved_with_their_steps(studio: Server) -> None:
    graph = {**training("flux", seed=16, name="many"), **saving(which="all")}
    graph["save"]["inputs"]["checkpoints"] = ["train", 2]
    run = studio.run(graph)
    assert run.ok, run.explain()
    names = [Path(path).name for path in run.outputs["save"]["text"][0].splitlines()]
    assert names == ["many_000001.safetensors", "many_000002.safetensors", "many_000003.safetensors"]
