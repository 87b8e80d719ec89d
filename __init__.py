"""Danlu: trains LoRAs inside ComfyUI. Importing this does nothing; the host calls `comfy_entrypoint`."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension, io

WEB_DIRECTORY = "./web"
__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]


async def comfy_entrypoint() -> ComfyExtension:
    from comfy_api.latest import ComfyExtension

    class Danlu(ComfyExtension):
        async def get_node_list(self) -> list[type[io.ComfyNode]]:
            """Every module of `nodes/` ends in NODES = [...]."""
            from . import nodes

            modules = [f"{nodes.__name__}.{found.name}" for found in pkgutil.iter_modules(nodes.__path__)]
            return [node for name in modules for node in importlib.import_module(name).NODES]

    return Danlu()
