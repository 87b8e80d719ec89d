"""The templates of the loops do what they say, on the real server with small stand-in models."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from danlu.demo.server import Run
from danlu.demo.workflow import to_api
from danlu.tests.browser.fixtures import write_loras
from danlu.tests.server import REPOSITORY, Server

Graph = dict[str, Any]


def graph_of(name: str, object_info: dict[str, Any]) -> Graph:
    """In the API format, with fewer steps; ids are the workflow's."""
    workflow = json.loads((REPOSITORY / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
    graph = to_api(workflow, object_info)
    for node in graph.values():
        if node["class_type"] == "KSampler":
            node["inputs"]["steps"] = 2
        if node["class_type"].startswith("DanluTrain") and "steps" in node["inputs"]:
            node["inputs"]["steps"] //= 50
            node["inputs"]["save_every"] = 2
    return graph


def ids(graph: Graph, kind: str) -> list[str]:
    return [number for number, node in graph.items() if node["class_type"] == kind]


def turns(run: Run, graph: Graph, kinds: set[str]) -> list[str]:
    """Display names of what trained ("train") and of what showed a picture, without repetitions."""
    found = []
    for message in run.messages:
        data = message.data
        if message.type == "progress_text" and data["text"].startswith("step "):
            found.append("train")
        elif message.type == "executed" and (data.get("output") or {}).get("images"):
            kind = graph[data["display_node"]]["class_type"]
            found += ["test"] if kind in kinds else []
    return [name for name, _ in itertools.groupby(found)]


def done(run: Run) -> Run:
    assert run.ok, run.explain()
    return run


def pictures(server: Server, name: str) -> set[str]:
    return {path.name for path in (server.base / "output" / "danlu" / name).glob("*.png")}


def test_every_checkpoint_is_trained_and_tested(server: Server, object_info: dict[str, Any]) -> None:
    graph = graph_of("Train and test every checkpoint", object_info)
    run = done(server.run(graph))
    # The base, then four checkpoints, then all of them.
    assert turns(run, graph, {"DanluGrid"}) == ["test"] + ["train", "test"] * 4
    names = {name.rpartition("_")[0] for name in pictures(server, "dantong")}
    assert {"no_LoRA", "step_2", "step_4", "step_6", "step_8"} <= names


def test_steps_are_trained_and_tested_by_turns(server: Server, object_info: dict[str, Any]) -> None:
    graph = graph_of("Train in steps", object_info)
    for node in ids(graph, "DanluTrainLoRA"):
        graph[node]["inputs"]["seed"] = 77  # no run of another test
    run = done(server.run(graph))
    assert turns(run, graph, {"PreviewImage"}) == ["train", "test"] * 3
    (save,) = ids(graph, "DanluSaveLoRA")
    assert Path(run.outputs[save]["text"][0]).exists()


def test_files_of_a_folder_are_compared(server: Server, object_info: dict[str, Any]) -> None:
    write_loras(server, "compared")  # a name that no other test has
    graph = graph_of("Compare checkpoints", object_info)
    (folder,) = ids(graph, "DanluCheckpointsFromFolder")
    graph[folder]["inputs"] |= {"folder": "compared", "pattern": "dantong_00000?"}
    done(server.run(graph))
    # (none, 2 files x 2 strengths) x 2 prompts, and the grid
    names = pictures(server, "compared")
    assert len(names) == 11 and sum(name.startswith("grid_") for name in names) == 1


def test_an_edit_is_trained_and_tested(server: Server, object_info: dict[str, Any], template_models: None) -> None:
    """Pairs come in as before → after, reach the model as references, and the test shows the LoRA an unseen before."""
    graph = graph_of("Train an edit LoRA", object_info)
    run = done(server.run(graph))
    (load,), (train,), (save,) = (ids(graph, f"Danlu{kind}") for kind in ("LoadDataset", "TrainLoRA", "SaveLoRA"))
    assert "4 pairs of before → after" in run.outputs[load]["text"][0]
    assert "Pairs: trained as" in run.outputs[train]["text"][0]
    assert Path(run.outputs[save]["text"][0]).exists()
    (shown,) = ids(graph, "PreviewImage")
    assert turns(run, graph, {"PreviewImage"}) == ["train", "test"] and run.outputs[shown]["images"]
    # What it draws depends on the before.
    (reference,) = ids(graph, "ReferenceLatent")
    first = _preview(server, run, shown)
    graph[reference]["inputs"].pop("latent")
    assert not np.array_equal(first, _preview(server, done(server.run(graph)), shown))


def _preview(server: Server, run: Run, node: str) -> np.ndarray:
    (image,) = run.outputs[node]["images"]
    return np.asarray(Image.open(server.base / "temp" / image["subfolder"] / image["filename"]))
