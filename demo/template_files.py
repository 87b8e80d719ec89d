"""Workflow files in the front end's format, from short descriptions of their nodes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .workflow import default_of, is_combo, options_of, widget_values, widgets_of

NOTES = Path(__file__).resolve().parent / "template_notes"
FRONT_END = "1.47.12"
Json = dict[str, Any]
OWN, HOSTS = ("danlu", "0.1.0"), ("comfy-core", "0.30.0")
BLUE, GREEN, VIOLET, YELLOW = "#3f789e", "#8A8", "#88A", "#b58b2a"


@dataclass(frozen=True)
class Model:
    """A file that the user has to bring; the front end offers to download what is missing."""

    name: str
    url: str
    directory: str
    """Below models/."""


@dataclass
class Node:
    type: str
    pos: tuple[int, int]
    size: tuple[int, int]
    values: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Input -> (name of the node, output)."""
    title: str = ""
    models: Sequence[Model] = ()
    """What its widgets name."""


@dataclass
class Template:
    nodes: dict[str, Node]
    groups: Sequence[tuple[str, tuple[int, int, int, int], str]]
    note_height: int = 600

    def models(self) -> list[Model]:
        return [model for node in self.nodes.values() for model in node.models]


def workflow(name: str, template: Template, object_info: Mapping[str, Json]) -> Json:
    """In the front end's format."""
    numbers = {key: number for number, key in enumerate(template.nodes, 2)}
    nodes = [
        _note(name, template),
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


def _note(name: str, template: Template) -> Json:
    text = (NOTES / f"{name}.md").read_text(encoding="utf-8").strip()
    if files := [f"- *{model.directory}*: [{model.name}]({model.url})" for model in template.models()]:
        text = "\n".join(
            [text, "", "**Models**, offered for download when this opens and they are missing:", "", *files]
        )
    return {
        "id": 1,
        "type": "MarkdownNote",
        "pos": [0, -40],
        "size": [340, template.note_height],
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
        "properties": _properties(node),
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


def _properties(node: Node) -> Json:
    pack, version = OWN if node.type.startswith("Danlu") else HOSTS
    found = {"Node name for S&R": node.type, "cnr_id": pack, "ver": version}
    return {**found, "models": [asdict(model) for model in node.models]} if node.models else found
