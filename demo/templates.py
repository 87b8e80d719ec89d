"""Writes the template workflows, as the front end would save them; those laid out by hand get new inputs only.

    python -m demo.templates [--output FOLDER]

The nodes' inputs, their order and their defaults come from a running ComfyUI, so that a new input of a node is in the
templates after the next run of this.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .edit_pairs import INSTRUCTION
from .install import CLIP, EDIT, FLUX, PREFIX, VAE, install, test_picture
from .server import Client, HostProcess
from .workflow import default_of, is_combo, options_of, widget_values, widgets_of

REPOSITORY = Path(__file__).resolve().parent.parent
NOTES = Path(__file__).resolve().parent / "template_notes"
FRONT_END = "1.47.12"
Json = dict[str, Any]
OWN, HOSTS = ("danlu", "0.1.0"), ("comfy-core", "0.30.0")
BLUE, GREEN, VIOLET, YELLOW = "#3f789e", "#8A8", "#88A", "#b58b2a"
PROMPT = "a small dantong on a plain green background, right"
TRAINING = {"learning_rate": 0.003, "batch_size": 4, "lr_scheduler": "cosine"}
EDIT_TRAINING = {"learning_rate": 0.002, "batch_size": 4, "lr_scheduler": "cosine", "caption_dropout": 0}
SAMPLER = {"seed": 0, "steps": 20, "cfg": 4, "sampler_name": "euler", "scheduler": "simple", "denoise": 1}


@dataclass
class Node:
    type: str
    pos: tuple[int, int]
    size: tuple[int, int]
    values: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Input -> (name of the node, output)."""
    title: str = ""


@dataclass
class Template:
    nodes: dict[str, Node]
    groups: Sequence[tuple[str, tuple[int, int, int, int], str]]
    note_height: int = 600


def loaders(x: int) -> dict[str, Node]:
    return {
        "unet": Node("UNETLoader", (x, 0), (360, 82), {"unet_name": f"{PREFIX}/{FLUX}"}),
        "clip": Node("CLIPLoader", (x, 150), (360, 106), {"clip_name": f"{PREFIX}/{CLIP}", "type": "stable_diffusion"}),
        "vae": Node("VAELoader", (x, 330), (360, 58), {"vae_name": f"{PREFIX}/{VAE}"}),
    }


def data(x: int) -> dict[str, Node]:
    return {
        "dataset": Node("DanluLoadDataset", (x, 0), (360, 620), {"folder": PREFIX, "trigger": "dantong"}),
        "encode": Node(
            "DanluEncodeDataset",
            (x + 420, 0),
            (320, 330),
            links={"dataset": ("dataset", 0), "vae": ("vae", 0), "clip": ("clip", 0)},
        ),
        "lora_config": Node("DanluLoRAConfig", (x + 420, 480), (320, 320), {"rank": 16}),
        "training_config": Node("DanluTrainingConfig", (x + 800, 0), (320, 820), TRAINING),
    }


TRAINED_ON = {
    "model": ("unet", 0),
    "training_data": ("encode", 0),
    "lora_config": ("lora_config", 0),
    "training_config": ("training_config", 0),
}


def texts(x: int, y: int, prompt: Any = PROMPT) -> dict[str, Node]:
    """Both prompts and the empty latent; `prompt`: a text, or the output that gives it."""
    link = {} if isinstance(prompt, str) else {"text": prompt}
    value = {"text": prompt if isinstance(prompt, str) else ""}
    clip = {"clip": ("clip", 0)}
    return {
        "positive": Node("CLIPTextEncode", (x, y), (360, 130), value, {**clip, **link}, "Test prompt"),
        "negative": Node("CLIPTextEncode", (x, y + 210), (360, 110), {"text": ""}, clip, "Negative prompt"),
        "latent": Node("EmptySD3LatentImage", (x, y + 400), (360, 106), {"width": 128, "height": 128}),
    }


def test(
    x: int, y: int, lora: tuple[str, int], name: str = "", links: Mapping[str, Any] | None = None
) -> dict[str, Node]:
    """LoRA -> sampler -> decoder. `links`: inputs named "node.input" that come from elsewhere."""
    more: dict[str, dict[str, Any]] = {"apply": {}, "sample": {}}
    for where, source in (links or {}).items():
        node, _, key = where.partition(".")
        more[node][key] = source
    given = {"positive": ("positive", 0), "negative": ("negative", 0), "latent_image": ("latent", 0)}
    return {
        f"{name}apply": Node(
            "DanluApplyLoRA", (x, y), (300, 106), {}, {"model": ("unet", 0), "lora": lora, **more["apply"]}
        ),
        f"{name}sample": Node(
            "KSampler", (x + 360, y), (300, 262), SAMPLER, {"model": (f"{name}apply", 0), **given, **more["sample"]}
        ),
        f"{name}decode": Node(
            "VAEDecode", (x + 720, y), (240, 46), {}, {"samples": (f"{name}sample", 0), "vae": ("vae", 0)}
        ),
    }


def loop() -> Template:
    train = Node(
        "DanluTrainLoop", (2000, 0), (340, 560), {"steps": 400, "save_every": 100, "name": "dantong"}, TRAINED_ON
    )
    grid = Node("DanluGrid", (2000, 1000), (700, 620), {}, {"image": ("decode", 0), "loop": ("loop", 3)})
    nodes = {
        **loaders(400),
        **data(820),
        "loop": train,
        **texts(400, 1000),
        **test(820, 1000, ("loop", 0)),
        "grid": grid,
    }
    groups = [
        ("Your model", (380, -75, 400, 483), BLUE),
        ("Your pictures", (800, -75, 1160, 915), BLUE),
        ("Train", (1980, -75, 380, 655), GREEN),
        ("What to test", (380, 925, 400, 601), YELLOW),
        ("The test, once for every checkpoint", (800, 925, 1920, 715), YELLOW),
    ]
    return Template(nodes, groups)


def chain() -> Template:
    nodes = {**loaders(400), **data(820), **texts(400, 1000)}
    for number, steps in enumerate((100, 200, 400)):
        name, x, y = f"train{number}", 2000 + 400 * number, 1000 + 440 * number
        before = {"run": (f"train{number - 1}", 1)} if number else {}
        settings = {"steps": steps, "name": "dantong"}
        nodes[name] = Node(
            "DanluTrainLoRA", (x, 0), (340, 700), settings, {**TRAINED_ON, **before}, f"Until step {steps}"
        )
        nodes |= test(820, y, (name, 0), f"{number} ")
        shown = {"images": (f"{number} decode", 0)}
        nodes[f"{number} see"] = Node("PreviewImage", (1840, y), (340, 360), {}, shown, f"Step {steps}")
    nodes["save"] = Node("DanluSaveLoRA", (2240, 1000), (340, 300), {}, {"lora": ("train2", 0)})
    groups = [
        ("Your model", (380, -75, 400, 483), BLUE),
        ("Your pictures", (800, -75, 1160, 915), BLUE),
        ("Train in steps", (1980, -75, 1180, 795), GREEN),
        ("What to test", (380, 925, 400, 601), YELLOW),
        ("Test after each step", (800, 925, 1400, 1335), YELLOW),
        ("Save", (2220, 925, 380, 395), VIOLET),
    ]
    return Template(nodes, groups)


def compare() -> Template:
    files = Node("DanluCheckpointsFromFolder", (400, 540), (360, 90), {"folder": "danlu", "pattern": "dantong*"})
    prompts = f"{PROMPT}\na large dantong on a striped blue background, top left"
    sweep = Node(
        "DanluSweep", (840, 0), (400, 420), {"prompts": prompts, "strengths": "1.0, 0.7"}, {"checkpoints": ("files", 0)}
    )
    links = {"apply.strength": ("sweep", 2), "sample.seed": ("sweep", 4)}
    grid = Node("DanluGrid", (840, 700), (1860, 700), {}, {"image": ("decode", 0), "loop": ("sweep", 0)})
    nodes = {
        **loaders(400),
        "files": files,
        "sweep": sweep,
        **texts(1300, 0, ("sweep", 3)),
        **test(1740, 0, ("sweep", 1), links=links),
        "grid": grid,
    }
    groups = [
        ("Your model", (380, -75, 400, 483), BLUE),
        ("LoRA files to compare", (380, 465, 400, 185), GREEN),
        ("What to compare", (820, -75, 440, 515), GREEN),
        ("Your test graph, once for every cell", (1280, -75, 1440, 601), YELLOW),
        ("The comparison", (820, 625, 1900, 795), YELLOW),
    ]
    return Template(nodes, groups)


def edit() -> Template:
    """Pairs, training, and the LoRA on a before that it has not seen, beside what it should become."""
    folders = {"folder": f"{EDIT}/after", "before_folder": f"{EDIT}/before"}
    prepared = {**data(820), "dataset": Node("DanluLoadDataset", (820, 0), (360, 780), folders)}
    prepared["encode"] = replace(prepared["encode"], values={"flip": True}, size=(320, 380))
    prepared["lora_config"] = replace(prepared["lora_config"], values={"rank": 32})
    prepared["training_config"] = replace(prepared["training_config"], values=EDIT_TRAINING)
    text = Node("CLIPTextEncode", (400, 1020), (360, 110), {"text": INSTRUCTION}, {"clip": ("clip", 0)}, "Instruction")
    nodes = {
        **loaders(400),
        **prepared,
        "train": Node("DanluTrainLoRA", (2000, 0), (340, 700), {"steps": 300, "name": "clean"}, TRAINED_ON),
        "save": Node("DanluSaveLoRA", (2420, 0), (340, 300), {}, {"lora": ("train", 0)}),
        "before": Node("LoadImage", (820, 1020), (360, 420), {"image": test_picture("before")}, title="Before"),
        "truth": Node("LoadImage", (2680, 1020), (360, 420), {"image": test_picture("after")}, title="True after"),
        "positive": text,
        "negative": replace(text, pos=(400, 1210), values={"text": ""}, title="Negative prompt"),
        "latent": Node("EmptySD3LatentImage", (400, 1400), (360, 106), {"width": 128, "height": 128}),
        "shown": Node("VAEEncode", (1240, 1020), (240, 46), {}, {"pixels": ("before", 0), "vae": ("vae", 0)}),
        **test(1240, 1150, ("train", 0), links={"sample.positive": ("reference", 0)}),
        "reference": Node(
            "ReferenceLatent", (1540, 1020), (240, 46), {}, {"conditioning": ("positive", 0), "latent": ("shown", 0)}
        ),
        "see": Node("PreviewImage", (2280, 1020), (360, 420), {}, {"images": ("decode", 0)}, "After, by the LoRA"),
    }
    nodes["sample"] = replace(nodes["sample"], values={**SAMPLER, "cfg": 1})
    groups = [
        ("Your model", (380, -75, 400, 483), BLUE),
        ("Your pairs: before -> after", (800, -75, 1160, 915), BLUE),
        ("Train", (1980, -75, 380, 795), GREEN),
        ("What to do", (380, 945, 400, 581), YELLOW),
        ("Test: a picture that was not trained on", (800, 945, 1420, 581), YELLOW),
        ("Save", (2400, -75, 380, 395), VIOLET),
        ("The result beside the truth", (2260, 945, 800, 581), YELLOW),
    ]
    return Template(nodes, groups, note_height=760)


TEMPLATES = {
    "Train and test every checkpoint": loop,
    "Train in steps": chain,
    "Compare checkpoints": compare,
    "Train an edit LoRA": edit,
}


def workflow(name: str, template: Template, object_info: Mapping[str, Json]) -> Json:
    """In the front end's format."""
    numbers = {key: number for number, key in enumerate(template.nodes, 2)}
    nodes = [
        _note(name, template.note_height),
        *(_node(numbers[key], node, object_info) for key, node in template.nodes.items()),
    ]
    by_id = {node["id"]: node for node in nodes}
    links: list[Any] = []
    for key, node in template.nodes.items():
        slots = by_id[numbers[key]]["inputs"]
        for wanted, (source, output) in node.links.items():
            place = next(n for n, slot in enumerate(slots) if slot["name"] == wanted)
            out = by_id[numbers[source]]["outputs"][output]
            slots[place]["link"] = len(links) + 1
            out["links"] = [*(out["links"] or []), len(links) + 1]
            links.append([len(links) + 1, numbers[source], output, numbers[key], place, out["type"]])
    groups = [
        {"id": n, "title": title, "bounding": list(box), "color": color, "flags": {}}
        for n, (title, box, color) in enumerate(template.groups, 1)
    ]
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"danlu/{name}")),
        "revision": 0,
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": [{**node, "order": order} for order, node in enumerate(nodes)],
        "links": links,
        "groups": groups,
        "config": {},
        "extra": {"ds": {"scale": 0.6, "offset": [150, 250]}, "frontendVersion": FRONT_END},
        "version": 0.4,
    }


def _note(name: str, height: int) -> Json:
    text = (NOTES / f"{name}.md").read_text(encoding="utf-8").strip()
    return {
        "id": 1,
        "type": "MarkdownNote",
        "pos": [0, -40],
        "size": [340, height],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": "How to use it",
        "properties": {},
        "widgets_values": [text],
        "color": "#432",
        "bgcolor": "#653",
    }


def _node(number: int, node: Node, object_info: Mapping[str, Json]) -> Json:
    info = object_info[node.type]
    widgets = list(widgets_of(info))
    slots = list(_slots(info, {name for name, spec in widgets if spec}))
    found = {
        "id": number,
        "type": node.type,
        "pos": list(node.pos),
        "size": list(node.size),
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": slots,
        "outputs": [
            {"localized_name": name, "name": name, "type": kind, "links": None}
            for name, kind in zip(info["output_name"], info["output"], strict=True)
        ],
        "properties": _properties(node.type),
        "widgets_values": [_value(name, spec, node.values) for name, spec in widgets],
    }
    return {**found, "title": node.title} if node.title else found


def refreshed(old: Json, object_info: Mapping[str, Json]) -> Json:
    """A workflow that was laid out by hand, with the inputs that its Danlu nodes have got since."""
    nodes = [
        _refreshed(node, object_info[node["type"]]) if node["type"].startswith("Danlu") else node
        for node in old["nodes"]
    ]
    before, after = (
        {n["id"]: [slot["name"] for slot in n["inputs"]] for n in found} for found in (old["nodes"], nodes)
    )
    links = [[*link[:4], after[link[3]].index(before[link[3]][link[4]]), *link[5:]] for link in old["links"]]
    return {**old, "nodes": nodes, "links": links}


def _refreshed(node: Json, info: Json) -> Json:
    widgets = list(widgets_of(info))
    values, links = widget_values(node, info), {slot["name"]: slot["link"] for slot in node["inputs"]}
    slots = _slots(info, {name for name, spec in widgets if spec})
    return {
        **node,
        "inputs": [{**slot, "link": links.get(slot["name"])} for slot in slots],
        "widgets_values": [_value(name, spec, values) for name, spec in widgets],
    }


def _slots(info: Json, widgets: set[str]) -> Iterator[Json]:
    """Sockets first, then widgets, as the front end orders them."""
    every = [
        (name, spec, group) for group in ("required", "optional") for name, spec in info["input"].get(group, {}).items()
    ]
    for name, spec, group in sorted(every, key=lambda item: item[0] in widgets):
        slot: Json = {
            "localized_name": name,
            "name": name,
            "type": "COMBO" if is_combo(spec) else spec[0],
            "link": None,
        }
        if name in widgets:
            slot["widget"] = {"name": name}
        if group == "optional":
            slot["shape"] = 7
        yield slot


def _value(name: str, spec: Any, values: Mapping[str, Any]) -> Any:
    if spec is None:  # what goes with a seed
        return "fixed"
    value = values.get(name, default_of(spec))
    choices = options_of(spec).get("options") or spec[0] if is_combo(spec) else None
    if choices and value not in choices:
        raise ValueError(f"{name}: {value!r} is not among {choices}")
    return value


def _properties(kind: str) -> Json:
    pack, version = OWN if kind.startswith("Danlu") else HOSTS
    return {"Node name for S&R": kind, "cnr_id": pack, "ver": version}


def main(arguments: list[str] | None = None) -> int:
    from .caption_templates import CAPTION_TEMPLATES

    templates = {**TEMPLATES, **CAPTION_TEMPLATES}
    parser = argparse.ArgumentParser(prog="demo.templates", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=REPOSITORY / "workflows")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="danlu-templates-") as folder:
        install(Path(folder))
        host = HostProcess(Path(os.environ["DANLU_COMFYUI"]), Path(folder), packs={"danlu": REPOSITORY})
        with host:
            object_info = Client(host.url).get("/object_info")
    by_hand = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in options.output.glob("*.json")}
    made = {name: refreshed(old, object_info) for name, old in by_hand.items() if name not in templates}
    made |= {name: workflow(name, make(), object_info) for name, make in templates.items()}
    for name, found in made.items():
        text = json.dumps(found, ensure_ascii=False, indent=1)
        (options.output / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(options.output / f"{name}.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
