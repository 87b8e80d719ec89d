"""The part of a graph that a loop repeats, and a copy of it for each cell. Graphs are in the host's API format:
{node id: {"class_type": ..., "inputs": {name: constant or [node id, output]}}}."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import DanluError
from .cells import Given, Made

Graph = Mapping[str, Mapping[str, Any]]
LOOPS = ("DanluTrainLoop", "DanluSweep")
GRID = "DanluGrid"


def is_link(value: Any) -> bool:
    """As the host tells links from constants (comfy_execution.graph_utils.is_link)."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


@dataclass(frozen=True)
class Body:
    """What lies between a loop node and its grid, with the nodes that hang off it, like one that saves pictures."""

    graph: Graph
    loop: str
    grid: str
    ends: Mapping[str, Any]
    """The grid's inputs that come out of it: name -> link."""
    nodes: frozenset[str]
    hanging: tuple[str, ...]
    """Those of `nodes` that are output nodes, and so run without anyone asking for them."""


def find_body(graph: Graph, grid: str, is_output: Callable[[str], bool]) -> Body:
    """`is_output`: whether a class of nodes is an output node. Raises DanluError where no loop comes of the graph."""
    inputs = graph[grid]["inputs"]
    link = inputs.get("loop")
    loop = link[0] if is_link(link) else None
    if loop is None or graph[loop]["class_type"] not in LOOPS:
        raise DanluError("loop: wire the loop output of Train Loop (Danlu) or Sweep (Danlu).")
    after = _descendants(graph, loop)
    ends = {name: inputs[name] for name in ("image", "label") if is_link(inputs.get(name))}
    hanging = tuple(node for node in graph if node in after and is_output(graph[node]["class_type"]))
    if any(other != grid for other in grids_of(graph, loop)) and grid != min(grids_of(graph, loop)):
        # Two grids of one loop: what hangs off it runs once a cell.
        hanging = ()
    if ends.get("image", [None])[0] not in after:
        raise DanluError("image: this picture does not depend on the loop; it would be the same in every cell.")
    nodes = {node for node in (*(link[0] for link in ends.values()), *hanging) if node in after}
    nodes = _ancestors(graph, nodes) & after
    for node in nodes:
        if graph[node]["class_type"] in LOOPS:
            raise DanluError(f"Node {node} is a loop inside of a loop: a grid goes through one loop only.")
    ends = {name: link for name, link in ends.items() if link[0] in after}
    return Body(graph, loop, grid, ends, frozenset(nodes), tuple(node for node in hanging if node in nodes))


def grids_of(graph: Graph, loop: str) -> list[str]:
    """The grids that end this loop."""
    found = []
    for node_id, node in graph.items():
        link = node["inputs"].get("loop")
        if node["class_type"] == GRID and is_link(link) and link[0] == loop:
            found.append(node_id)
    return found


def _links(node: Mapping[str, Any]) -> list[str]:
    return [value[0] for value in node["inputs"].values() if is_link(value)]


def _descendants(graph: Graph, start: str) -> set[str]:
    """All nodes that come after `start`, but for grids and what comes after them."""
    children: dict[str, list[str]] = {}
    for node_id, node in graph.items():
        for source in _links(node):
            children.setdefault(source, []).append(node_id)

    def reached(wanted: list[str], stop: Callable[[str], bool]) -> set[str]:
        seen: set[str] = set()
        while wanted:
            for child in children.get(wanted.pop(), ()):
                if child not in seen and not stop(child):
                    seen.add(child)
                    wanted.append(child)
        return seen

    grids = {node_id for node_id, node in graph.items() if node["class_type"] == GRID}
    behind = reached(list(grids), lambda _: False)
    return reached([start], lambda node: node in grids or node in behind)


def _ancestors(graph: Graph, nodes: Collection[str]) -> set[str]:
    """With the nodes themselves."""
    seen, wanted = set(nodes), list(nodes)
    while wanted:
        for source in _links(graph[wanted.pop()]):
            if source not in seen:
                seen.add(source)
                wanted.append(source)
    return seen


def signature(body: Body, given: Sequence[Given | None] | None, stamp: Callable[[str], Any]) -> str:
    """What decides a cell's picture: every node that it comes from, down to the loaders, with the loop's values by
    their content. `given` None: of no cell in particular, what all cells share.

    `stamp`: time and size of the file that a text names, None for other texts; another file under an old name is
    another picture.
    """
    known: dict[str, str] = {}

    def of_node(node_id: str) -> str:
        if node_id not in known:
            node = body.graph[node_id]
            inputs = [[name, of_value(value)] for name, value in sorted(node["inputs"].items())]
            known[node_id] = _digest([node["class_type"], inputs])
        return known[node_id]

    def of_value(value: Any) -> Any:
        if not is_link(value):
            return [value, stamp(value)] if isinstance(value, str) else value
        source, output = value
        if source == body.loop:
            found = given[output] if given else None
            return ["the loop's", output if found is None else found.identity]
        return [of_node(source), output]

    return _digest([[name, of_value(link)] for name, link in sorted(body.ends.items())])


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass
class Copy:
    """A body with the loop's values of one cell put in.

    Copies of one node with the same inputs have the same id, so that cells share what does not differ between them:
    a LoRA at a strength, the text of a prompt.
    """

    body: Body
    given: Sequence[Given | None]
    prefix: str
    outside: Callable[[list[Any]], list[Any]] = lambda link: link
    """A link to a node that is not copied -> what stands in for it."""
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    _ids: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ends: dict[str, Any] = {name: self._placed(link) for name, link in self.body.ends.items()}
        """The grid's inputs: a link to a copy, or the loop's own constant."""
        copies = [self._copied(node) for node in self.body.hanging if not self._has_nothing(node)]
        self.before_hanging: list[Any] = [
            value for node in copies for value in self.nodes[node]["inputs"].values() if is_link(value)
        ]
        """What the nodes that hang off wait for: with it done, they come next."""

    def results(self, is_lazy: Callable[[str, str], bool]) -> list[Any]:
        """Links to all that the copied nodes hand on to one another. Behind a lazy input (`is_lazy`: class of the node,
        name) may lie what is never made."""
        found: list[Any] = []
        wanted = [link for link in (*self.ends.values(), *self.before_hanging) if is_link(link)]
        while wanted:
            link = wanted.pop()
            if link[0] not in self._ids.values() or link in found:
                continue
            found.append(link)
            node = self.nodes[link[0]]
            wanted += [v for name, v in node["inputs"].items() if is_link(v) and not is_lazy(node["class_type"], name)]
        return found

    def _copied(self, node_id: str) -> str:
        if node_id not in self._ids:
            node = self.body.graph[node_id]
            inputs = {name: self._placed(value) for name, value in node["inputs"].items()}
            self._ids[node_id] = self._added(node["class_type"], inputs, node_id, node_id)
        return self._ids[node_id]

    def _has_nothing(self, node_id: str) -> bool:
        """Whether the node is wired to a LoRA that is none in this cell."""
        links = [value for value in self.body.graph[node_id]["inputs"].values() if is_link(value)]
        given = [self.given[output] for source, output in links if source == self.body.loop]
        return any(isinstance(value, Made) and value.empty for value in given)

    def _placed(self, value: Any) -> Any:
        if not is_link(value):
            return value
        source, output = value
        if source == self.body.loop:
            return self._given(output)
        return [self._copied(source), output] if source in self.body.nodes else self.outside(value)

    def _given(self, output: int) -> Any:
        found = self.given[output]
        if found is None:
            raise DanluError("The loop output of a loop node goes to a grid (Danlu) only.")
        if not isinstance(found, Made):
            if found.value is None:
                raise DanluError("The image output of Sweep (Danlu) is wired, but its images input is not.")
            return found.value
        inputs = {name: self.outside(v) if is_link(v) else v for name, v in found.inputs.items()}
        return [self._added(found.class_type, inputs, "", self.body.loop), found.output]

    def _added(self, class_type: str, inputs: dict[str, Any], original: str, shown_at: str) -> str:
        new = f"{self.prefix}{_digest([original, class_type, inputs])}"
        # The host shows progress and pictures of the copy on the user's own node.
        self.nodes[new] = {"class_type": class_type, "inputs": inputs, "override_display_id": shown_at}
        return new
