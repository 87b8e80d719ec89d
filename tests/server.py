"""A real ComfyUI server with the pack in it, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from danlu.demo.server import Client, HostProcess

REPOSITORY = Path(__file__).resolve().parents[1]


class Server(Client):
    """A server and its client in one: `server.run(graph)`, `server.upload(...)`, `server.restart()`."""

    def __init__(self, comfyui: Path, base: Path, *args: str):
        self.base = base
        self.process = HostProcess(comfyui, base, packs={"danlu": REPOSITORY}, args=("--cpu", *args))
        super().__init__("http://127.0.0.1")
        self._defaults: dict[str, dict[str, Any]] = {}

    def start(self) -> Server:
        self.process.start()
        self.url = self.process.url
        self.__enter__()
        return self

    def post(self, path: str, body: Any = None, timeout: float = 60) -> Any:
        if path == "/prompt":
            body = {**body, "prompt": {key: self._with_defaults(entry) for key, entry in body["prompt"].items()}}
        return super().post(path, body, timeout)

    def _with_defaults(self, entry: dict[str, Any]) -> dict[str, Any]:
        """What the front end does, which sends every widget of a node."""
        kind = entry["class_type"]
        if not kind.startswith("Danlu"):
            return entry
        if kind not in self._defaults:
            required = self.object_info(kind)["input"].get("required", {})
            settings = {name: (spec[1] if len(spec) > 1 else {}) for name, spec in required.items()}
            self._defaults[kind] = {name: value["default"] for name, value in settings.items() if "default" in value}
        return {**entry, "inputs": {**self._defaults[kind], **entry["inputs"]}}

    def stop(self) -> None:
        self.__exit__()
        self.process.stop()

    def kill(self) -> None:
        """As a power cut does."""
        self.process.kill()
        self.__exit__()

    def restart(self) -> None:
        self.stop()
        self.start()

    def put(self, source: Path, name: str) -> None:
        """Links a file into the base directory: `put(model, "models/vae/tiny.safetensors")`."""
        place = self.base / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(source)
