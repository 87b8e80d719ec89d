"""Prints what the host tells the world about our nodes, in the layout of `schemas.py`: one JSON object.

Run in the host's Python, with its folder as the working directory: `schema_probe.py BASE PACK`. The base directory is
empty, so that lists of models hold only what is the same on every machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

KEPT = ("default", "min", "max", "options")


def described(info: dict[str, Any]) -> dict[str, Any]:
    """A node of `/object_info`: inputs in the order in which the front end lays them out, and outputs."""
    inputs = [
        _input(name, spec, optional=group == "optional")
        for group in ("required", "optional")
        for name, spec in info["input"].get(group, {}).items()
    ]
    names = zip(info["output_name"], info["output"], info["output_is_list"], strict=True)
    outputs = [{"name": name, "type": kind, **({"list": True} if many else {})} for name, kind, many in names]
    return {"inputs": inputs, "outputs": outputs}


def _input(name: str, spec: Any, optional: bool) -> dict[str, Any]:
    kind, settings = spec[0], spec[1] if len(spec) > 1 else {}
    found: dict[str, Any] = {"name": name, "type": kind}
    if optional:
        found["optional"] = True
    if settings.get("forceInput"):
        found["socket"] = True
    if "template" in settings:  # a group of sockets that grows
        (each,) = settings["template"]["input"]["required"].values()
        found["of"] = each[0]
    return found | {key: settings[key] for key in KEPT if settings.get(key) is not None}


def main(base: str, pack: str) -> None:
    import comfy.options

    sys.argv = ["main.py", "--cpu", "--base-directory", base]
    comfy.options.enable_args_parsing()
    import nodes

    before = set(nodes.NODE_CLASS_MAPPINGS)
    asyncio.run(nodes.load_custom_node(pack, module_parent="custom_nodes"))
    ours: dict[str, Any] = {key: nodes.NODE_CLASS_MAPPINGS[key] for key in set(nodes.NODE_CLASS_MAPPINGS) - before}
    infos = {key: node.GET_NODE_INFO_V1() for key, node in sorted(ours.items())}
    # Those that only other nodes make are in no workflow.
    print(json.dumps({key: described(info) for key, info in infos.items() if not info.get("dev_only")}))


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    main(*sys.argv[1:])
