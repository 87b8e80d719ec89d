"""Node schemas are for ever: people's workflows hold them. `dev.py schemas` compares and pins them.

    python dev.py schemas                          # what differs from the pinned file
    python dev.py schemas --write                  # pins what is there now; refuses what breaks workflows
    python -m devtools.schemas OLD.json NEW.json   # two pinned files, without a host

A workflow keeps widget values by their position and links by a socket's place; a graph in the API format keeps inputs
by their name and has none of those that came later. So: nothing renamed, removed, retyped or reordered; what is new
comes last and is optional.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .console import Trouble, say

Schemas = dict[str, Any]
"""Node id -> {"inputs": [{"name", "type", ...}], "outputs": [{"name", "type"}]}."""
PINNED = Path("tests", "pack", "schemas.json")
"""In the checkout."""
PROBE = Path(__file__).with_name("schema_probe.py")
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}


def current(python: Path, comfyui: Path, pack: Path) -> Schemas:
    """The nodes of the pack in this folder, asked in the host; `Trouble` if they cannot be loaded."""
    with tempfile.TemporaryDirectory(prefix="danlu-schemas-") as base:
        command = [str(python), str(PROBE), base, str(pack)]
        run = subprocess.run(command, cwd=comfyui, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    lines = [line for line in run.stdout.splitlines() if line.startswith("{")]
    if run.returncode or not lines:
        raise Trouble(f"the host cannot load the pack:\n{run.stderr[-2000:]}")
    return json.loads(lines[-1])


def read(path: Path) -> Schemas:
    return json.loads(path.read_text(encoding="utf-8"))


def text(schemas: Schemas) -> str:
    """One line an input and an output, so that a change can be read in a diff."""
    nodes = [f"{_dump(name)}: {{\n{_slots(node)}\n }}" for name, node in sorted(schemas.items())]
    return "{\n " + ",\n ".join(nodes) + "\n}\n"


def _slots(node: Mapping[str, Any]) -> str:
    groups = []
    for group in ("inputs", "outputs"):
        lines = ",\n".join(f"   {_dump(slot)}" for slot in node[group])
        groups.append(f'  "{group}": [\n{lines}\n  ]' if lines else f'  "{group}": []')
    return ",\n".join(groups)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def breaking(old: Schemas, new: Schemas) -> list[str]:
    """What in `new` breaks workflows that were saved with `old`: one line each, empty if nothing does."""
    return [problem for name in sorted(old) for problem in _of_node(name, old[name], new.get(name))]


def _of_node(name: str, old: Mapping[str, Any], new: Mapping[str, Any] | None) -> Iterator[str]:
    if new is None:
        yield f"{name}: the node is gone (renamed?)"
        return
    before, after = _by_name(old["inputs"]), _by_name(new["inputs"])
    for key, slot in before.items():
        if key in after:
            yield from (f"{name}.{key}: {problem}" for problem in _of_input(slot, after[key]))
        else:
            yield f"{name}.{key}: the input is gone (renamed?)"
    for key, slot in after.items():
        if key not in before and not slot.get("optional"):
            yield f"{name}.{key}: a new input has to be optional"
    for kind in ("widgets", "sockets"):
        yield from (f"{name}: {problem}" for problem in _of_order(kind, before, after))
    yield from _of_outputs(name, old["outputs"], new["outputs"])


def _of_order(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Those that were there and still are keep their order, and what is new comes behind them."""
    old, new = (
        [key for key, slot in slots.items() if _is_widget(slot) is (kind == "widgets")] for slots in (before, after)
    )
    kept = [key for key in old if key in new]
    if [key for key in new if key in kept] != kept:
        yield f"{kind} in another order: {', '.join(new)}"
    elif new[: len(kept)] != kept:
        yield f"new {kind} are not behind the old ones: {', '.join(new)}"


def _of_input(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in ("type", "socket", "of"):
        if old.get(key) != new.get(key):
            yield f"{key} {old.get(key)} is now {new.get(key)}"
    if old.get("optional") and not new.get("optional"):
        yield "was optional"
    if gone := [str(option) for option in old.get("options", []) if option not in new.get("options", [])]:
        yield f"options are gone: {', '.join(gone)}"
    if "min" in new and new["min"] > old.get("min", float("-inf")):
        yield f"min {old.get('min')} is now {new['min']}"
    if "max" in new and new["max"] < old.get("max", float("inf")):
        yield f"max {old.get('max')} is now {new['max']}"


def _of_outputs(name: str, old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for place, slot in enumerate(old):
        if new[place : place + 1] != [slot]:
            now = _dump(new[place]) if place < len(new) else "gone"
            yield f"{name}: output {place}, {_dump(slot)}, is now {now}"


def _by_name(slots: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {slot["name"]: slot for slot in slots}


def _is_widget(slot: Mapping[str, Any]) -> bool:
    return slot["type"] in WIDGETS and not slot.get("socket")


def pin(new: Schemas, path: Path, incompatible: bool = False) -> None:
    """Writes the file; `Trouble` where that would hide a break, unless told to."""
    problems = breaking(read(path), new) if path.is_file() else []
    if problems and not incompatible:
        told = "\n  ".join(problems)
        raise Trouble(f"this breaks people's workflows (--incompatible pins it all the same):\n  {told}")
    path.write_text(text(new), encoding="utf-8", newline="\n")


def check(new: Schemas, path: Path) -> None:
    """`Trouble` where the pinned file does not say what is there."""
    old = read(path)
    if problems := breaking(old, new):
        raise Trouble("this breaks people's workflows:\n  " + "\n  ".join(problems))
    if old != new:
        changed = ", ".join(name for name in sorted(new) if old.get(name) != new[name])
        raise Trouble(f"{path.name} is older than the nodes ({changed}): python dev.py schemas --write")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="devtools.schemas", description="Does NEW break workflows made with OLD?")
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    options = parser.parse_args(arguments)
    problems = breaking(read(options.old), read(options.new))
    for problem in problems:
        say(problem)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
