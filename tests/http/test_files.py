"""LoRA files on the real server: its own readers find graph, picture and trigger in them; presets and imports train."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import load_file

from danlu.demo.server import node
from danlu.tests.http.graphs import sampling, saving, training
from danlu.tests.server import Server

WORKFLOW = {"nodes": [{"id": 1, "type": "DanluTrainLoRA"}], "extra": {"ds": {"scale": 0.7}, "note": "ä"}}


def with_picture(name: str, seed: int) -> dict[str, Any]:
    """Trains, renders with the LoRA, saves it with what was rendered."""
    return {
        **training("flux", seed=seed, steps=1),
        "lora": node("LoraModelLoader", model=["unet", 0], lora=["train", 0], strength_model=1.0, bypass=False),
        **sampling("flux", ["lora", 0], prefix=name),
        "decode": node("VAEDecode", samples=[f"{name} sample", 0], vae=["vae", 0]),
        **saving(name=name, picture=["decode", 0], dtype="auto"),
    }


def saved(studio: Server, graph: dict[str, Any], workflow: Any = WORKFLOW) -> Path:
    run = studio.run(graph, extra_data={"extra_pnginfo": {"workflow": workflow}})
    assert run.ok, run.explain()
    return Path(run.outputs["save"]["text"][0].splitlines()[-1])


def metadata(studio: Server, path: Path) -> dict[str, str]:
    """As the host serves it to its front end."""
    return studio.get(f"/view_metadata/loras?filename=danlu/{path.name}")


@pytest.fixture(scope="module")
def pictured(studio: Server) -> Path:
    return saved(studio, with_picture("pictured", 31))


def test_the_graph_is_in_the_file(studio: Server, pictured: Path) -> None:
    found = metadata(studio, pictured)
    # Where the user was looking is no part of the graph.
    assert json.loads(found["workflow"]) == {"nodes": WORKFLOW["nodes"], "extra": {"note": "ä"}}
    prompt = json.loads(found["prompt"])
    assert {key: value["class_type"] for key, value in prompt.items()}["train"] == "DanluTrainLoRA"
    again = studio.run(prompt)
    assert again.ok and Path(again.outputs["save"]["text"][0]) == pictured


def test_the_graph_is_in_the_picture_beside(pictured: Path) -> None:
    with Image.open(pictured.with_suffix(".preview.png")) as image:
        assert image.size == (64, 64)
        assert json.loads(image.info["workflow"])["nodes"] == WORKFLOW["nodes"]
        assert "DanluTrainLoRA" in image.info["prompt"]


def test_the_hosts_model_browser_shows_the_picture(studio: Server, pictured: Path) -> None:
    address = f"/experiment/models/preview/loras/0/danlu/{pictured.name}"
    with Image.open(io.BytesIO(studio.request("GET", address))) as image:
        assert image.size == (64, 64)
    beside = pictured.with_suffix(".preview.png")
    hidden = beside.rename(beside.with_suffix(".hidden"))
    try:  # the file alone has one too
        with Image.open(io.BytesIO(studio.request("GET", address))) as image:
            assert image.size == (64, 64)
    finally:
        hidden.rename(beside)


def test_what_the_metadata_says(studio: Server, pictured: Path) -> None:
    found = metadata(studio, pictured)
    assert found["modelspec.trigger_phrase"] == "zorp"
    assert found["modelspec.architecture"] == "flux-1-dev/lora"
    assert found["ss_network_dim"] == "4" and found["ss_steps"] == "1"
    tags = json.loads(found["ss_tag_frequency"])["zorp"]
    assert tags["a thing"] == 4 and tags["number 2"] == 1
    assert json.loads(found["danlu.config"])["lora"]["rank"] == 4


def test_a_deleted_file_is_written_again_with_the_same_bytes(studio: Server, pictured: Path) -> None:
    content = pictured.read_bytes()
    pictured.unlink()
    assert saved(studio, with_picture("pictured", 31)) == pictured
    assert pictured.read_bytes() == content


def test_a_moved_node_makes_no_second_file(studio: Server, pictured: Path) -> None:
    moved = {**WORKFLOW, "nodes": [{"id": 1, "type": "DanluTrainLoRA", "pos": [1, 2]}]}
    assert saved(studio, with_picture("pictured", 31), moved) == pictured


def test_numbers_and_names_by_family(studio: Server) -> None:
    for layout, dtype in (("flux", "BF16"), ("sd15", "F16")):
        path = saved(studio, {**training(layout, seed=32, steps=1), **saving(name=f"auto_{layout}", dtype="auto")})
        header = json.loads(path.read_bytes()[8:][: int.from_bytes(path.read_bytes()[:8], "little")])
        matrices = {key: entry["dtype"] for key, entry in header.items() if key.endswith("lora_up.weight")}
        assert set(matrices.values()) == {dtype}
        assert all(key.startswith("lora_unet_") for key in matrices)


def test_diffusers_names(studio: Server) -> None:
    path = saved(studio, {**training("flux", seed=32, steps=1), **saving(name="for_diffusers", format="diffusers")})
    keys = load_file(path).keys()
    assert "transformer.transformer_blocks.0.attn.to_q.lora_A.weight" in keys
    assert all(key.endswith(("lora_A.weight", "lora_B.weight")) for key in keys)


def preset_graph(**inputs: Any) -> dict[str, Any]:
    graph = training("flux", seed=33, steps=2)
    graph["preset"] = node("DanluPreset", kind="style", memory="12 GB", **inputs)
    graph["config"]["inputs"].update(rank=-1, base=["preset", 0])
    graph["train"]["inputs"]["training_config"] = ["preset", 1]
    return graph


def test_a_preset_trains_and_tells(studio: Server) -> None:
    run = studio.run(preset_graph())
    assert run.ok, run.explain()
    assert "One goal per LoRA" in run.outputs["preset"]["text"][0] == run.texts("preset")[-1]
    report = run.outputs["train"]["text"][0]
    assert "preset style / 12 GB: rank 16" in report and "caption_dropout 0.1" in report


def test_a_config_node_overrides_a_preset(studio: Server) -> None:
    graph = preset_graph()
    graph["config"]["inputs"]["rank"] = 3
    graph |= saving(name="three")
    path = saved(studio, graph)
    found = json.loads(metadata(studio, path)["danlu.config"])
    assert found["lora"]["rank"] == 3 and found["training"]["caption_dropout"] == 0.1


def import_graph(**inputs: str) -> dict[str, Any]:
    graph = training("flux", seed=34, steps=-1)
    graph["import"] = node("DanluImportConfig", **{"text": "", "file": "", **inputs})
    graph["config"]["inputs"].update(rank=-1, base=["import", 0])
    graph["train"]["inputs"]["training_config"] = ["import", 1]
    graph["shown"] = node("PreviewAny", source=["import", 2])
    return graph


TOML = 'network_module = "networks.lora_flux"\nnetwork_dim = 2\nmax_train_epochs = 1\ntrain_batch_size = 2\n'


def test_an_imported_config_trains_its_epochs(studio: Server) -> None:
    run = studio.run(import_graph(text=TOML))
    assert run.ok, run.explain()
    assert "2 steps = 1.0 epochs" in run.texts("train")[0]
    assert "rank 2 (network_dim)" in run.outputs["import"]["text"][0]


def test_a_changed_file_is_read_again(studio: Server) -> None:
    file = studio.base / "input" / "recipes" / "kohya.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(TOML, encoding="utf-8")
    assert "2 steps" in studio.run(import_graph(file="recipes/kohya.toml")).texts("train")[0]
    file.write_text(TOML.replace("epochs = 1", "epochs = 2"), encoding="utf-8")
    assert "4 steps" in studio.run(import_graph(file="recipes/kohya.toml")).texts("train")[0]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "it is empty"),
        ({"file": "../models/loras/x.toml"}, "leads outside"),
        ({"file": "/etc/passwd"}, "leads outside"),
        ({"file": "pics/0.txt"}, "must end in"),
        ({"file": "no.toml"}, "there is no"),
        ({"file": "a.toml", "text": TOML}, "both given"),
        ({"text": "hello: world"}, "none of its keys"),
    ],
)
def test_imports_that_cannot_be(studio: Server, inputs: dict[str, str], words: str) -> None:
    run = studio.run(import_graph(**inputs))
    assert run.error and words in run.error["exception_message"], run.explain()
    assert not any("step 1 /" in line for line in run.texts())
