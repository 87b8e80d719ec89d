"""What a loop leaves: the same bits as other ways to train, and everything that was done when it is stopped."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from danlu.demo.server import Message, PromptRefused, Run, node
from danlu.tests.http.graphs import told_step, training
from danlu.tests.http.loop_graphs import add_decoder, chain, images, shown, story, train_loop
from danlu.tests.http.test_training import runs
from danlu.tests.server import Server


@pytest.fixture(scope="module", autouse=True)
def _decoder(studio: Server) -> None:
    add_decoder(studio)


def done(run: Run) -> Run:
    assert run.ok, run.explain()
    return run


def forget(studio: Server) -> None:
    """Removes all runs, so that the next one is trained anew."""
    import shutil

    shutil.rmtree(studio.base / "user" / "__danlu" / "runs", ignore_errors=True)
    studio.free()


def checkpoint(studio: Server, step: int) -> dict[str, torch.Tensor]:
    (file,) = (studio.base / "user" / "__danlu" / "runs").glob(f"*/checkpoints/{step:06}.safetensors")
    return load_file(file)


@pytest.mark.parametrize("scheduler", ["constant", "cosine"])
def test_loop_chain_and_single_node_give_the_same_bits(studio: Server, scheduler: str) -> None:
    config = {"schedule": node("DanluTrainingConfig", lr_scheduler=scheduler)}
    settings: dict[str, Any] = {"seed": 31, "steps": 4, "save_every": 2, "training_config": ["schedule", 0]}
    graphs = {
        "single": training("flux", **settings),
        "chain": chain([2, 4], **settings),
        "loop": train_loop(**settings),
    }
    found = {}
    for name, graph in graphs.items():
        forget(studio)
        done(studio.run({**graph, **config}))
        found[name] = checkpoint(studio, 4)
    assert any(tensor.any() for key, tensor in found["single"].items() if "up" in key)
    for name in ("chain", "loop"):
        assert found[name].keys() == found["single"].keys()
        assert all(torch.equal(found[name][key], tensor) for key, tensor in found["single"].items()), name


def test_a_stopped_loop_goes_on(studio: Server) -> None:
    graph = train_loop(seed=32, steps=600, save_every=100, name="stopped_loop")
    since = len(studio.messages)
    prompt = studio.queue(graph)

    def second_picture(message: Message) -> bool:
        return message.type == "executed" and "step_200_" in str(images(message))

    studio.wait_for(second_picture, 120, since)
    studio.interrupt()
    first = studio.wait(prompt, since=since)
    assert first.interrupted
    shown_first = story(first).count("show")
    assert 2 <= shown_first < 6
    graph["loop"]["inputs"]["steps"] = 400
    again = done(studio.run(graph))
    # What was tested is shown from disk, and nothing is trained twice.
    rest = max(0, 4 - shown_first)
    assert story(again).count("show") == 4 + 1 and story(again).count("test") == rest
    steps = [int(text.split()[1].replace(",", "")) for text in again.texts("loop") if text.startswith("step ")]
    assert all(step > 100 * shown_first for step in steps)


def test_finish_now_ends_the_whole_loop(studio: Server) -> None:
    graph = train_loop(seed=33, steps=4000, save_every=1000, name="finished_loop")
    since = len(studio.messages)
    prompt = studio.queue(graph)
    studio.wait_for(lambda message: told_step(message) >= 3, 120, since)
    studio.post("/danlu/train/finish")
    run = done(studio.wait(prompt, since=since))
    assert story(run).count("test") == 1
    assert len(shown(run)) == 2  # one cell, and the grid
    logs = runs(studio)
    again = done(studio.run(graph))
    assert story(again).count("test") == 0 and runs(studio) == logs


def test_what_hangs_off_the_loop_runs_for_every_checkpoint(studio: Server) -> None:
    graph = train_loop(seed=34, steps=2, save_every=1, name="hanging", with_base=True)
    graph["keep"] = node("SaveImage", images=["decode", 0], filename_prefix="hanging")
    graph["file"] = node("DanluSaveLoRA", lora=["loop", 0])
    run = done(studio.run(graph))
    kept = [m for m in run.messages if m.type == "executed" and m.data["display_node"] == "keep" and images(m)]
    assert len(kept) == 3  # of the base too, which has no LoRA to save
    saved = sorted(path.name for path in (studio.base / "models" / "loras" / "danlu").glob("hanging*"))
    assert saved == ["hanging_000001.safetensors", "hanging_000002.safetensors"]


def test_wrong_loops_are_refused_before_they_begin(studio: Server) -> None:
    graph = train_loop(seed=35, steps=2, name="wrong")
    graph["grid"]["inputs"]["image"] = ["constant", 0]
    graph["constant"] = node("EmptyImage", width=64, height=64, batch_size=1, color=0)
    run = studio.run(graph)
    assert run.error and "does not depend on the loop" in run.error["exception_message"]
    graph = train_loop(seed=35, steps=2, name="wrong")
    del graph["grid"]
    graph["see"] = node("PreviewImage", images=["decode", 0])
    run = studio.run(graph)
    assert run.error and "no Grid" in run.error["exception_message"]
    with pytest.raises(PromptRefused):
        studio.run(train_loop(seed=35, steps=0))
