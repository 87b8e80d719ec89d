"""The plan node on the real server."""

from __future__ import annotations

from typing import Any

import pytest

from danlu.demo.server import PromptRefused, node
from danlu.tests.http.graphs import training
from danlu.tests.server import Server


def planned(layout: str, **lora: Any) -> dict[str, Any]:
    """The training graph with a plan between model and training; `lora` are inputs of the LoRA config."""
    graph = training(layout, seed=90, name="planned")
    graph["config"]["inputs"].update(lora)
    graph["plan"] = node(
        "DanluPlan",
        model=["unet", 0],
        training_data=["encode", 0],
        lora_config=["config", 0],
        steps=3,
        save_every=1,
        keep_last=-1,
    )
    graph["train"]["inputs"]["model"] = ["plan", 0]
    graph["text"] = node("PreviewAny", source=["plan", 1])
    return graph


def test_a_plan_before_training(studio: Server) -> None:
    run = studio.run(planned("flux"))
    assert run.ok, run.explain()
    table = run.outputs["plan"]["text"][0]
    assert table.startswith("FITS\npeak ")
    assert "4 images × repeats 1, batch 1 → 3 steps = 0.8 epochs" in table
    assert "rank 4" in table and "3 checkpoints" in table and "s a step" in table
    assert run.outputs["text"]["text"] == [table]
    order = run.executed()
    assert order.index("plan") < order.index("train")


def test_a_plan_alone_leaves_nothing_behind(studio: Server) -> None:
    runs = studio.base / "user" / "__danlu" / "runs"
    before = sorted(runs.glob("*")) if runs.exists() else []
    graph = planned("sd15")
    del graph["train"]
    run = studio.run(graph)
    assert run.ok, run.explain()
    assert run.outputs["plan"]["text"][0].startswith("FITS")
    assert (sorted(runs.glob("*")) if runs.exists() else []) == before


@pytest.mark.parametrize("steps", [0, -2])
def test_steps_that_train_nothing_are_refused_when_queued(studio: Server, steps: int) -> None:
    graph = planned("flux")
    graph["plan"]["inputs"]["steps"] = steps
    with pytest.raises(PromptRefused, match=f"steps is {steps}: nothing would be trained"):
        studio.queue(graph)


def test_a_pattern_that_matches_nothing(studio: Server) -> None:
    graph = planned("flux", include="double_blokcs")
    del graph["train"]
    run = studio.run(graph)
    assert not run.ok and "double_blocks" in run.explain() and "include 'double_blokcs'" in run.explain()
