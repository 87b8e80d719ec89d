"""The templates on real models run on the real server, with small models of the same families under the same names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from danlu.demo.blueprint import NAME, PROMOTED, blueprint
from danlu.demo.real_models import ALL, NOT_OF_COMFYUI
from danlu.demo.server import Run
from danlu.demo.workflow import to_api
from danlu.tests.browser.fixtures import open_page
from danlu.tests.dataset.films import film
from danlu.tests.server import REPOSITORY, Server

Graph = dict[str, Any]
FAMILIES = {
    "Person LoRA - SDXL (12 GB)": ("SDXL", "person / 12 GB"),
    "Anime character LoRA - SDXL": ("SDXL", "anime / auto"),
    "Style LoRA - Flux.2 Klein": ("Flux.2 Klein", "style / auto"),
    "Style LoRA - Z-Image-Turbo": ("Z-Image", "style / auto"),
    "Person LoRA - Flux.1 dev": ("Flux.1", "person / auto"),
    "Edit LoRA - Flux.1 Kontext": ("Flux.1 Kontext", "edit / auto"),
    "Edit LoRA - Qwen-Image-Edit": ("Qwen-Image-Edit", "edit / auto"),
}
"""Template -> the family that the trainer has to find, and the preset."""
VIDEO = "Video LoRA - Wan 2.2"
SIZE = 64
SMALL: dict[str, Graph] = {
    "DanluEncodeDataset": {"resolution": str(SIZE)},
    "DanluTrainLoop": {"steps": 2, "save_every": 1},
    "DanluTrainLoRA": {"steps": 2},
    "KSampler": {"steps": 1},
    "Flux2Scheduler": {"steps": 1, "width": SIZE, "height": SIZE},
    "EmptyLatentImage": {"width": SIZE, "height": SIZE},
    "EmptySD3LatentImage": {"width": SIZE, "height": SIZE},
    "EmptyFlux2LatentImage": {"width": SIZE, "height": SIZE},
    "EmptyHunyuanLatentVideo": {"width": SIZE, "height": SIZE, "length": 5},
}


def workflow(name: str) -> Graph:
    return json.loads((REPOSITORY / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def real(comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes small models for the real ones."""
    from danlu.demo.host_setup import add_host

    add_host(str(comfyui))
    from danlu.tests.stand_ins.files import write_all

    server = Server(comfyui, tmp_path_factory.mktemp("real"))
    server.process.packs = {**server.process.packs, "stand_ins": REPOSITORY / "tests" / "stand_ins"}
    write_all(server.base / "models")
    for side, shade in (("photos", 40), ("before", 140)):
        (server.base / "input" / side).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (SIZE, SIZE), (shade, 90 * number, 50)).save(
                server.base / "input" / side / f"{number}.png"
            )
    film(server.base / "input" / "clips" / "0.mp4", 5, (SIZE, SIZE), 16)
    Image.new("RGB", (SIZE, SIZE), (90, 120, 150)).save(server.base / "input" / "example.png")
    yield server.start()
    server.stop()


def small(name: str, object_info: Graph) -> Graph:
    """The template as the front end queues it, on the server's pictures, with fewer steps and pixels."""
    graph = to_api(workflow(name), object_info)
    for node in graph.values():
        inputs = node["inputs"]
        inputs.update(SMALL.get(node["class_type"], {}))
        if node["class_type"] == "DanluLoadDataset":
            inputs["folder"] = "clips" if name == VIDEO else "photos"
            inputs["before_folder"] = "before" if name.startswith("Edit") else ""
        elif node["class_type"] == "KSamplerAdvanced":
            high = inputs["start_at_step"] == 0
            inputs.update({"steps": 2, "start_at_step": 0 if high else 1, "end_at_step": 1 if high else 2})
        elif node["class_type"] == "FluxKontextImageScale":  # to a million pixels
            node["class_type"] = "ImageScale"
            inputs.update({"upscale_method": "area", "width": SIZE, "height": SIZE, "crop": "disabled"})
    return graph


def trained(server: Server, graph: Graph) -> tuple[Run, list[Graph]]:
    """The run, and the manifests of what it trained."""

    def manifests() -> dict[Path, Graph]:
        found = (server.base / "user" / "__danlu" / "runs").glob("*/manifest.json")
        return {path: json.loads(path.read_text(encoding="utf-8")) for path in found}

    before = manifests()
    run = server.run(graph)
    assert run.ok, run.explain()
    return run, [found for path, found in manifests().items() if path not in before]


def files(server: Server) -> set[Path]:
    return set((server.base / "models" / "loras" / "danlu").glob("*.safetensors"))


def learned(path: Path) -> bool:
    """Whether second factors, which begin at zero, are something else now; some layers' output goes nowhere."""
    second = [t for name, t in load_file(path).items() if name.endswith(("lora_up.weight", "lora_B.weight"))]
    return any(bool(torch.any(tensor != 0)) for tensor in second)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_checkpoint_is_trained_tested_and_saved(name: str, real: Server) -> None:
    before, (family, preset) = files(real), FAMILIES[name]
    run, (manifest,) = trained(real, small(name, real.get("/object_info")))
    assert any(text.startswith(f"auto for {family} (") for text in manifest["choices"])
    assert manifest["identity"]["lora"]["preset"] == preset
    saved = sorted(files(real) - before)
    assert [path.stem.rpartition("_")[2].partition("-")[0] for path in saved] == ["000001", "000002"]
    assert learned(saved[-1])
    pictures = [image["filename"] for shown in run.outputs.values() for image in shown.get("images", [])]
    for cell in ("no_LoRA_", "step_1_", "step_2_", "grid_"):
        assert sum(picture.startswith(cell) for picture in pictures) == 1, cell


def test_the_assistant_stands_beside_the_turbo_model(real: Server) -> None:
    """Without it, training is refused: it would undo the distillation."""
    graph = small("Style LoRA - Z-Image-Turbo", real.get("/object_info"))
    (train,) = [node["inputs"] for node in graph.values() if node["class_type"] == "DanluTrainLoop"]
    assert train["assistant_lora"] != "none"
    train["assistant_lora"] = "none"
    run = real.run(graph)
    assert run.error and "assistant_lora" in run.error["exception_message"]


def test_the_experts_are_trained_one_after_the_other(real: Server) -> None:
    before = files(real)
    run, manifests = trained(real, small(VIDEO, real.get("/object_info")))
    levels = [(found["training"]["sigma_min"], found["training"]["sigma_max"]) for found in manifests]
    assert sorted(levels) == [(0.0, 0.875), (0.875, 1.0)]
    saved = sorted(files(real) - before)
    assert [path.stem for path in saved] == ["my_video_lora_high", "my_video_lora_low"]
    # The networks that stand in have the same weights: only what each was trained on differs.
    assert all(map(learned, saved)) and saved[0].read_bytes() != saved[1].read_bytes()
    assert len(list((real.base / "output" / "danlu").glob("video*.mp4"))) == 1


def test_models_have_the_addresses_that_comfyui_gives_them() -> None:
    """So that a file that another template has brought is found, and none is brought twice."""
    import comfyui_workflow_templates_json as package

    theirs: set[tuple[str, str, str]] = set()
    for path in (Path(package.__file__).parent / "templates").glob("*.json"):
        theirs |= set(models_of(json.loads(path.read_text(encoding="utf-8"))))
    ours = {model for name in (*FAMILIES, VIDEO) for model in models_of(workflow(name))}
    assert ours == {(model.name, model.url, model.directory) for model in ALL}
    assert {url for _, url, _ in ours - theirs} == {model.url for model in NOT_OF_COMFYUI}


def models_of(found: Any) -> Iterator[tuple[str, str, str]]:
    """Wherever they are named: in subgraphs too."""
    if isinstance(found, dict):
        for model in found.get("models") or []:
            if isinstance(model, dict) and {"name", "url", "directory"} <= model.keys():
                yield model["name"], model["url"], model["directory"]
    for value in found.values() if isinstance(found, dict) else found if isinstance(found, list) else ():
        yield from models_of(value)


def test_a_node_names_what_its_widgets_name() -> None:
    """The front end finds the link by the widget's value."""
    for name in (*FAMILIES, VIDEO):
        for node in workflow(name)["nodes"]:
            for model in node["properties"].get("models", []):
                assert model["name"] in node["widgets_values"], node["type"]


def test_the_page_about_models_tells_what_each_template_needs() -> None:
    text = (REPOSITORY / "docs" / "models.md").read_text(encoding="utf-8")
    sections = dict(part.split("\n", 1) for part in text.split("### ")[1:])
    assert sections.keys() == {*FAMILIES, VIDEO}
    for name, section in sections.items():
        told = {line for line in section.splitlines() if line}
        wanted = models_of(workflow(name)["nodes"])
        assert told == {f"- `models/{directory}`: [{file}]({url})" for file, url, directory in wanted}, name


def test_the_blueprint_is_the_smallest_template() -> None:
    path = REPOSITORY / "subgraphs" / f"{NAME}.json"
    assert json.loads(path.read_text(encoding="utf-8")) == blueprint(workflow("Train a LoRA (five nodes)"))


FILL = """async values => {
  const [node] = app.graph.nodes;
  for (const [name, value] of Object.entries(values)) node.widgets.find(widget => widget.name === name).value = value;
  return (await app.graphToPrompt()).output;
}"""


def test_the_blueprint_comes_from_the_node_library_and_trains(real: Server, browser: Any) -> None:
    (listed,) = [key for key, found in real.get("/global_subgraphs").items() if found["name"] == NAME]
    assert json.loads(real.get(f"/global_subgraphs/{listed}")["data"])["definitions"]["subgraphs"][0]["name"] == NAME
    with open_page(real, browser, "canvas") as page:
        page.mouse.dblclick(700, 500)
        page.get_by_role("combobox").fill(NAME)
        page.wait_for_timeout(2000)
        page.keyboard.press("Enter")
        page.wait_for_function("() => app.graph.nodes.length")
        widgets = page.evaluate("() => app.graph.nodes[0].widgets.map(widget => widget.name)")
        assert widgets == [name for _, name in PROMOTED]
        values = {"ckpt_name": "sd_xl_base_1.0.safetensors", "folder": "photos", "trigger": "ohwx", "steps": 1}
        graph = page.evaluate(FILL, {**values, "name": "by_blueprint"})
        assert page.errors == []
    for node in graph.values():
        node["inputs"].update(SMALL["DanluEncodeDataset"] if node["class_type"] == "DanluEncodeDataset" else {})
    before = files(real)
    trained(real, graph)
    (path,) = files(real) - before
    assert path.stem == "by_blueprint" and learned(path)
