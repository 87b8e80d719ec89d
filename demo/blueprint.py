"""Writes the smallest template once more as a subgraph blueprint: one node that loads, trains and saves.

    python -m demo.blueprint [--output FOLDER]

ComfyUI lists it in the node library, below Subgraph Blueprints.
"""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .template_files import FRONT_END, OWN

REPOSITORY = Path(__file__).resolve().parent.parent
TEMPLATE = "Train a LoRA (five nodes)"
NAME = "Train a LoRA (Danlu)"
DESCRIPTION = (
    "Trains a LoRA of your pictures on a checkpoint, everything on auto, and saves it where LoRA loaders list it. "
    "Type a folder of pictures and a trigger, the word that will call what you train."
)
ALIASES = ["lora training", "train lora", "finetune", "dreambooth"]
PROMOTED = (
    ("CheckpointLoaderSimple", "ckpt_name"),
    ("DanluLoadDataset", "folder"),
    ("DanluLoadDataset", "trigger"),
    ("DanluTrainLoRA", "steps"),
    ("DanluTrainLoRA", "name"),
)
"""Widgets that the node shows."""
OUTPUTS = (("DanluTrainLoRA", "lora"), ("DanluSaveLoRA", "path"))
INPUT, OUTPUT, OUTER = -10, -20, 1
"""The front end's ids for the two ends of a subgraph; ours for its node."""
Json = dict[str, Any]


def blueprint(template: Mapping[str, Any]) -> Json:
    """A workflow of one node, from that of a template."""
    nodes = [json.loads(json.dumps(node)) for node in template["nodes"] if node["type"] != "MarkdownNote"]
    inner = _Inner({node["type"]: node for node in nodes}, template["links"])
    inputs = [inner.promote(*place) for place in PROMOTED]
    outputs = [inner.expose(*place) for place in OUTPUTS]
    subgraph = _subgraph(nodes, inner.links, inputs, outputs)
    return {
        "revision": 0,
        "last_node_id": OUTER,
        "last_link_id": 0,
        "nodes": [_outer(subgraph, inner)],
        "links": [],
        "version": 0.4,
        "definitions": {"subgraphs": [subgraph]},
        "extra": {
            "frontendVersion": FRONT_END,
            "BlueprintDescription": DESCRIPTION,
            "BlueprintSearchAliases": ALIASES,
        },
    }


class _Inner:
    """The nodes inside, by type, and their links, which grow by those to both ends."""

    def __init__(self, nodes: Mapping[str, Json], links: list[list[Any]]):
        self.nodes = nodes
        names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        self.links: list[Json] = [dict(zip(names, link, strict=True)) for link in links]
        self.ends = {INPUT: 0, OUTPUT: 0}

    def promote(self, kind: str, name: str) -> Json:
        node = self.nodes[kind]
        slot = next(n for n, found in enumerate(node["inputs"]) if found["name"] == name)
        link = self._link(INPUT, self.ends[INPUT], node["id"], slot, node["inputs"][slot]["type"])
        node["inputs"][slot]["link"] = link
        return self._end(INPUT, name, link)

    def expose(self, kind: str, name: str) -> Json:
        node = self.nodes[kind]
        slot = next(n for n, found in enumerate(node["outputs"]) if found["name"] == name)
        output = node["outputs"][slot]
        link = self._link(node["id"], slot, OUTPUT, self.ends[OUTPUT], output["type"])
        output["links"] = [*(output["links"] or []), link]
        return self._end(OUTPUT, name, link)

    def value(self, kind: str, name: str) -> Any:
        """What a promoted widget holds: values lie in the order of the widgets."""
        node = self.nodes[kind]
        names = [slot["name"] for slot in node["inputs"] if "widget" in slot]
        return node["widgets_values"][names.index(name)]

    def _link(self, origin: int, origin_slot: int, target: int, target_slot: int, kind: str) -> int:
        number = max(link["id"] for link in self.links) + 1
        ends = {"origin_id": origin, "origin_slot": origin_slot, "target_id": target, "target_slot": target_slot}
        self.links.append({"id": number, **ends, "type": kind})
        return number

    def _end(self, end: int, name: str, link: int) -> Json:
        self.ends[end] += 1
        key = uuid.uuid5(uuid.NAMESPACE_URL, f"danlu/{NAME}/{end}/{name}")
        return {"id": str(key), "name": name, "type": self.links[-1]["type"], "linkIds": [link]}


def _subgraph(nodes: list[Json], links: list[Json], inputs: list[Json], outputs: list[Json]) -> Json:
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"danlu/{NAME}")),
        "version": 1,
        "state": {
            "lastGroupId": 0,
            "lastNodeId": max(node["id"] for node in nodes),
            "lastLinkId": max(link["id"] for link in links),
            "lastRerouteId": 0,
        },
        "revision": 0,
        "config": {},
        "name": NAME,
        "inputNode": {"id": INPUT, "bounding": [180, 200, 120, 140]},
        "outputNode": {"id": OUTPUT, "bounding": [1960, 100, 120, 80]},
        "inputs": inputs,
        "outputs": outputs,
        "widgets": [],
        "nodes": nodes,
        "groups": [],
        "links": links,
        "extra": {},
        "category": "Danlu",
        "description": DESCRIPTION,
    }


def _outer(subgraph: Mapping[str, Any], inner: _Inner) -> Json:
    def slot(end: Mapping[str, Any]) -> Json:
        return {"name": end["name"], "type": end["type"]}

    pack, version = OWN
    return {
        "id": OUTER,
        "type": subgraph["id"],
        "pos": [0, 0],
        "size": [400, 200],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [{**slot(end), "widget": {"name": end["name"]}, "link": None} for end in subgraph["inputs"]],
        "outputs": [{**slot(end), "links": []} for end in subgraph["outputs"]],
        "title": NAME,
        "properties": {"cnr_id": pack, "ver": version},
        "widgets_values": [inner.value(*place) for place in PROMOTED],
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="demo.blueprint", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=REPOSITORY / "subgraphs")
    options = parser.parse_args(arguments)
    template = json.loads((REPOSITORY / "workflows" / f"{TEMPLATE}.json").read_text(encoding="utf-8"))
    options.output.mkdir(exist_ok=True)
    text = json.dumps(blueprint(template), ensure_ascii=False, indent=1)
    (options.output / f"{NAME}.json").write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
