"""Loads the pack as the host's server does, and tells what that did: one JSON line per load.

Run with the host's folder as the working directory. Where the system can fork, one start of the host serves
several fresh loads; elsewhere only the first of them is done.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time


class Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def measure(pack: str) -> dict[str, object]:
    import nodes

    collector = Collector()
    logging.getLogger().addHandler(collector)
    before = set(sys.modules)
    known = set(nodes.NODE_CLASS_MAPPINGS)
    start, start_cpu = time.perf_counter(), time.process_time()
    loaded = asyncio.run(nodes.load_custom_node(pack, module_parent="custom_nodes"))
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    module = sys.modules[pack.replace(".", "_x_")]
    return {
        "loaded": loaded,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "modules": sorted(set(sys.modules) - before),
        "warnings": collector.messages,
        "nodes": sorted(set(nodes.NODE_CLASS_MAPPINGS) - known),
        "exports_v1": hasattr(module, "NODE_CLASS_MAPPINGS"),
    }


def main(base: str, packs: list[str]) -> None:
    import comfy.options

    sys.argv = ["main.py", "--cpu", "--base-directory", base]
    comfy.options.enable_args_parsing()
    import comfy_api.latest  # noqa: F401
    import execution  # noqa: F401
    import nodes  # noqa: F401
    import server  # noqa: F401

    if not hasattr(os, "fork"):
        print(json.dumps(measure(packs[0])))
        return
    for pack in packs:
        sys.stdout.flush()
        if child := os.fork():
            os.waitpid(child, 0)
            continue
        print(json.dumps(measure(pack)), flush=True)
        os._exit(0)


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    main(sys.argv[1], sys.argv[2:])
