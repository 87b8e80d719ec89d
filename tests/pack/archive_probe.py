"""Loads an unpacked archive as the host's server does and imports every module in it: one JSON line.

Run with the host's folder as the working directory: `archive_probe.py BASE PACK`.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import pkgutil
import sys
from types import ModuleType
from typing import Any


def every_module(pack: ModuleType, failed: dict[str, str]) -> list[str]:
    """Names of what could be imported; `failed` takes the others. dev.py runs on any Python, and is no module."""
    found = []
    for module in pkgutil.walk_packages(pack.__path__, f"{pack.__name__}."):
        name = module.name.removeprefix(f"{pack.__name__}.")
        if name in ("dev", "tests") or name.endswith("_probe"):
            continue
        try:
            importlib.import_module(module.name)
            found.append(name)
        except Exception as error:
            failed[name] = repr(error)
    return found


def main(base: str, pack: str) -> None:
    import comfy.options

    sys.argv = ["main.py", "--cpu", "--base-directory", base]
    comfy.options.enable_args_parsing()
    import nodes

    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    known = set(nodes.NODE_CLASS_MAPPINGS)
    loaded = asyncio.run(nodes.load_custom_node(pack, module_parent="custom_nodes"))
    ours = sorted(set(nodes.NODE_CLASS_MAPPINGS) - known)
    warnings = list(messages)
    failed: dict[str, str] = {}
    modules = every_module(sys.modules[pack.replace(".", "_x_")], failed)
    web = nodes.EXTENSION_WEB_DIRS.get(os.path.basename(pack))
    told: dict[str, Any] = {"loaded": loaded, "nodes": ours, "warnings": warnings, "web": web}
    print(json.dumps({**told, "modules": modules, "failed": failed}))


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    main(*sys.argv[1:])
