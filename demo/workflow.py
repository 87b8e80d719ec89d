"""Turns a workflow file (what the host's front end saves) into the API format (what its server runs).

For flat workflows: no subgraphs. The server's `/object_info` says which inputs of a node are widgets; their
values lie in the file as a plain list, in that order, with companions that only the front end knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
Spec = Sequence[Any]
"""One input in `/object_info`: its type, or a combo's choices, and its options."""

VIRTUAL = {"Note", "MarkdownNote", "Reroute", "PrimitiveNode"}
"""Node types that live in the front end alone."""
ALWAYS, MUTED, BYPASSED = 0, 2, 4
"""A node's `mode`."""
DYNAMIC = "COMFY_DYNAMICCOMBO_V3"
"""A choice that may bring further inputs with it; here only such choices that bring none."""
WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", DYNAMIC}
SEEDS = ("seed", "noise_seed")
"""Integers that get a control_after_generate companion unless their node says no."""
UPLOADS = ("image_upload", "video_upload", "audio_upload")
"""Options of a combo behind which the front end puts an upload button, which has a place in the list of values."""


class WorkflowError(ValueError):
    """The workflow cannot be turned into the API format; the text says why."""


def to_api(workflow: Mapping[str, Any], object_info: Mapping[str, Json]) -> Json:
    """`{node id: {"class_type", "inputs", "_meta"}}` of every node that would run."""
    if (workflow.get("definitions") or {}).get("subgraphs"):
        raise WorkflowError("The workflow has subgraphs; unpack them in the front end and save it again.")
    graph = _Graph(workflow)
    running = [node for node in graph.nodes.values() if node["type"] not in VIRTUAL and _mode(node) == ALWAYS]
    unknown = sorted({node["type"] for node in running} - set(object_info))
    if unknown:
        raise WorkflowError(f"The server does not know these nodes: {', '.join(unknown)}.")
    return {str(node["id"]): _api_node(graph, node, object_info[node["type"]]) for node in running}


def widget_values(node: Mapping[str, Any], info: Json) -> Json:
    """What a node's widgets hold, by input name; defaults for inputs that are newer than the file."""
    saved, slots = node.get("widgets_values") or [], list(widgets_of(info))
    if not isinstance(saved, Mapping):
        _check_length(node, saved, len(slots))
        saved = dict(zip((name for name, _ in slots), saved, strict=False))
    return {name: saved.get(name, default_of(spec)) for name, spec in slots if spec}


def _check_length(node: Mapping[str, Any], values: Sequence[Any], slots: int) -> None:
    """Values beyond the widgets are fine where they are empty: leftovers of buttons and previews."""
    left_over = [value for value in values[slots:] if value not in (None, "")]
    if left_over:
        where = f"Node {node['id']} ({node['type']})"
        raise WorkflowError(f"{where} has {len(values)} widget values for {slots} widgets: {left_over} left over.")


def _api_node(graph: _Graph, node: Json, info: Json) -> Json:
    inputs = {name: _literal(value) for name, value in widget_values(node, info).items() if value is not None}
    for slot in node.get("inputs") or []:
        source = graph.source(slot)
        if source is None:
            continue  # a socket stays empty, a widget keeps its own value
        node_id, output = source
        if graph.nodes[node_id]["type"] == "PrimitiveNode":
            inputs[slot["name"]] = _literal(graph.nodes[node_id]["widgets_values"][0])
        else:
            inputs[slot["name"]] = [str(node_id), output]
    title = node.get("title") or info.get("display_name") or node["type"]
    return {"inputs": inputs, "class_type": node["type"], "_meta": {"title": title}}


def widgets_of(info: Json) -> Iterator[tuple[str, Spec | None]]:
    """The widgets of a node in the order of their values; None: one that is no input, but has a value in the file."""
    for group in ("required", "optional"):
        upload = False
        for name, spec in (info["input"].get(group) or {}).items():
            kind, options = spec[0], options_of(spec)
            if not (is_combo(spec) or kind in WIDGET_TYPES) or options.get("forceInput"):
                continue
            yield name, spec
            upload = upload or any(options.get(option) for option in UPLOADS)
            if options.get("control_after_generate", kind == "INT" and name in SEEDS):
                yield f"{name}.control_after_generate", None
                if is_combo(spec):
                    yield f"{name}.control_filter_list", None
        if upload:
            yield "upload", None


def options_of(spec: Spec) -> Json:
    return spec[1] if len(spec) > 1 else {}


def is_combo(spec: Spec) -> bool:
    return isinstance(spec[0], list) or spec[0] == "COMBO"


def default_of(spec: Spec) -> Any:
    if "default" in options_of(spec):
        return options_of(spec)["default"]
    if spec[0] == DYNAMIC:
        return options_of(spec)["options"][0]["key"]
    if not is_combo(spec):
        return {"STRING": "", "BOOLEAN": False}.get(spec[0], 0)
    choices = spec[0] if isinstance(spec[0], list) else options_of(spec).get("options") or []
    return choices[0] if choices else None


def _literal(value: Any) -> Any:
    """A bare list would be read as a link."""
    return {"__value__": value} if isinstance(value, list) else value


def _mode(node: Mapping[str, Any]) -> int:
    return node.get("mode") or ALWAYS


class _Graph:
    """The nodes of a workflow, and where what arrives at a socket comes from."""

    def __init__(self, workflow: Mapping[str, Any]):
        self.nodes: dict[Any, Json] = {node["id"]: node for node in workflow["nodes"]}
        self.links = {link[0]: (link[1], link[2]) for link in map(_as_list, workflow["links"])}

    def source(self, slot: Mapping[str, Any]) -> tuple[Any, int] | None:
        """The node and output that feed a socket, through reroutes and bypassed nodes; None: nothing does."""
        wanted, seen = slot.get("type", "*"), set()
        while (link := slot.get("link")) is not None and link in self.links and link not in seen:
            seen.add(link)
            node_id, output = self.links[link]
            node = self.nodes.get(node_id)
            if node is None or _mode(node) == MUTED:
                return None
            if node["type"] != "Reroute" and _mode(node) != BYPASSED:
                return node_id, output
            slot = _passed_on(node, output, wanted) or {}
        return None


def _passed_on(node: Json, output: int, wanted: str) -> Json | None:
    """The input that stands in for an output of a bypassed node, or of a reroute, by the front end's rule."""
    inputs: list[Json] = node.get("inputs") or []
    if node["type"] == "Reroute" or wanted in ("*", ""):
        return next(iter(inputs[output:] or inputs), None)
    if output < len(inputs) and _fits(inputs[output]["type"], wanted):
        return inputs[output]
    return next((slot for slot in inputs if slot["type"] == wanted), None)


def _fits(given: str, wanted: str) -> bool:
    kinds = set(given.lower().split(","))
    return given == "*" or bool(kinds & set(wanted.lower().split(",")))


def _as_list(link: Any) -> Sequence[Any]:
    """Links are lists; the newest schema writes them as objects."""
    if isinstance(link, Mapping):
        return [link["id"], link["origin_id"], link["origin_slot"]]
    return link
