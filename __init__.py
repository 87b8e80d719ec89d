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

    from .host.routes import register_routes

    register_routes()

    class Danlu(ComfyExtension):
        async def get_node_list(self) -> list[type[io.ComfyNode]]:
            """Every module of `nodes/` ends in NODES = [...]; helpers have names that begin with _."""
            from . import nodes

            names = [found.name for found in pkgutil.iter_modules(nodes.__path__) if found.name[0] != "_"]
            modules = [importlib.import_module(f"{nodes.__name__}.{name}") for name in names]
            return [node for module in modules for node in module.NODES]

    return Danlu()
